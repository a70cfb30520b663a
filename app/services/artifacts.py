"""The published files of a job."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from sqlalchemy.orm import Session

from app.db import queries
from app.db.models import Artifact
from app.domain.errors import NotFound, StoreUnavailable
from app.services import jobs
from app.storage.blobs import Blobs

CHUNK_BYTES = 256 * 1024


def listing(session: Session, tenant: str, job_id: str) -> Sequence[Artifact]:
    """By name; empty until the job has succeeded.

    Raises:
        NotFound: if there is no such job.
    """
    return queries.list_artifacts(session, jobs.find(session, tenant, job_id).id)


def find(session: Session, tenant: str, job_id: str, name: str) -> Artifact:
    """
    Raises:
        NotFound: if there is no such job, or it has no such file.
    """
    job = jobs.find(session, tenant, job_id)
    artifact = queries.get_artifact(session, job.id, name) if "\x00" not in name else None
    if artifact is None:
        raise NotFound(
            f"The job has no such file: it is {job.state}.", hint="GET /v1/jobs/{id}/artifacts lists what there is."
        )
    return artifact


def read(blobs: Blobs, artifact: Artifact, start: int, length: int) -> Iterator[bytes]:
    """Bytes `start` to `start + length` in pieces. Opened here and now, so that a missing file is an answer of its own
    and no broken stream.

    Raises:
        StoreUnavailable: if the storage does not give the file.
    """
    try:
        stream = blobs.open(artifact.storage_key)
    except OSError as error:
        raise StoreUnavailable("The storage does not give this file.", hint="Try again in a few seconds.") from error
    return _pieces(stream, start, length)


def _pieces(stream: BinaryIO, start: int, length: int) -> Iterator[bytes]:
    with stream:
        stream.seek(start)
        while length > 0:
            piece = stream.read(min(CHUNK_BYTES, length))
            if not piece:
                return
            length -= len(piece)
            yield piece
