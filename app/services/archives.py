"""All files of a job, or of one of its students, as one zip that is made while it is read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.models import Artifact
from app.domain.errors import NotFound
from app.services import artifacts, jobs
from app.services.students import named_student
from app.storage import published
from app.storage.blobs import Blobs
from app.storage.zips import Member, fingerprint, size, write


@dataclass(frozen=True)
class Archive:
    """The same bytes each time it is read."""

    name: str
    """To save it under."""
    files: Sequence[tuple[Artifact, Member]]
    """By name."""

    @property
    def members(self) -> list[Member]:
        return [member for _, member in self.files]

    @property
    def bytes(self) -> int:
        return size(self.members)

    @property
    def fingerprint(self) -> str:
        """Changes with any byte of it."""
        return fingerprint(self.members)


def find(session: Session, tenant: str, job_id: str, student: str | None = None) -> Archive:
    """
    Args:
        student: only this one's files, without the folder of its name: as of a job that trained it alone.

    Raises:
        NotFound: if there is no such job or student, or the job has no files (yet).
        FilesDeleted: if it is old.
    """
    job = jobs.find(session, tenant, job_id)
    folder = "" if student is None else named_student(job, student).prefix
    found = [file for file in artifacts.listing(session, tenant, job_id) if file.name.startswith(folder)]
    if not found:
        raise NotFound(f"The job has no files: it is {job.state}.", hint="They appear when the job has succeeded.")
    name = f"{job.id}-{student}.zip" if folder else f"{job.id}.zip"
    files = [(file, Member(file.name.removeprefix(folder), file.bytes, file.sha256)) for file in found]
    return Archive(name, sorted(files, key=lambda pair: pair[1].name))


def require(blobs: Blobs, archive: Archive) -> None:
    """See that the storage has every file of it: once the first has been sent, nothing can be answered any more.

    Raises:
        FileLost, StoreUnavailable: if it lacks one, or is away.
    """
    for artifact, _ in archive.files:
        published.require(blobs, artifacts.stored(artifact))


def read(blobs: Blobs, archive: Archive, start: int, length: int) -> Iterator[bytes]:
    """Bytes `start` to `start + length` in pieces. What stands before `start` is made too, and dropped: the checksums
    in it are known only then. So resuming costs reading, and no sending.

    A file that is not what was published breaks it off before that file's last piece, and so before the checksum that
    would have vouched for it.

    Raises:
        FileLost, StoreUnavailable: as `require`.
    """
    require(blobs, archive)
    of_member = {member: artifacts.stored(artifact) for artifact, member in archive.files}
    pieces = write(archive.members, lambda member: published.read(blobs, of_member[member], 0, member.bytes))
    return published.part(pieces, start, length)
