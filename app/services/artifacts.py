"""The published files of a job."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.db.models import Artifact, Job
from app.db.queries import jobs as queries
from app.domain.errors import FilesDeleted, NotFound
from app.services import jobs
from app.storage.published import StoredFile


def listing(session: Session, tenant: str, job_id: str) -> Sequence[Artifact]:
    """By name; empty until the job has succeeded.

    Raises:
        NotFound: if there is no such job.
        FilesDeleted: if it is old.
    """
    job = jobs.find(session, tenant, job_id)
    require_files(job)
    return queries.list_artifacts(session, job.id)


def find(session: Session, tenant: str, job_id: str, name: str) -> Artifact:
    """
    Raises:
        NotFound: if there is no such job, or it has no such file.
        FilesDeleted: if it is old.
    """
    job = jobs.find(session, tenant, job_id)
    require_files(job)
    artifact = queries.get_artifact(session, job.id, name) if "\x00" not in name else None
    if artifact is None:
        raise NotFound(
            f"The job has no such file: it is {job.state}.", hint="GET /v1/jobs/{id}/artifacts lists the files."
        )
    return artifact


def require_files(job: Job) -> None:
    """
    Raises:
        FilesDeleted: if they were deleted by age.
    """
    if job.files_deleted_at is not None:
        raise FilesDeleted(
            f"The files of this job were deleted on {job.files_deleted_at:%Y-%m-%d} because of their age.",
            hint="The job, its evaluation and its curves are kept. POST /v1/jobs/{id}/rerun makes the files again.",
        )


def stored(artifact: Artifact) -> StoredFile:
    """Where it lies, and what it must be."""
    return StoredFile(artifact.storage_key, artifact.bytes, artifact.sha256)
