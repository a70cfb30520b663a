"""Which files of a job are run to predict."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.queries import jobs as queries
from app.domain.errors import JobNotSucceeded, NothingToPredictWith
from app.domain.previews import PREVIEW_ONNX
from app.domain.spec import JobSpec
from app.domain.states import JobState
from app.inference.students import Exported
from app.services import jobs, previews
from app.services.artifacts import require_files, stored
from app.services.previews import Preview
from app.services.students import named_student

NETWORK, MANIFEST = "student.onnx", "manifest.json"


@dataclass(frozen=True, slots=True)
class Target:
    """A student that can be asked."""

    job_id: str
    student: str
    file: str
    exported: Exported


def find_preview(session: Session, tenant: str, job_id: str, student: str | None = None) -> tuple[Target, Preview]:
    """The student of the moment, and its file.

    Raises:
        NotFound, StudentRequired, PreviewNotReady, PreviewGone, FilesDeleted: as `previews.find`.
    """
    preview = previews.find(session, tenant, job_id, student, PREVIEW_ONNX)
    return Target(job_id, preview.student, PREVIEW_ONNX, Exported(preview.stored, None)), preview


def find(session: Session, tenant: str, job_id: str, student: str | None = None) -> Target:
    """
    Args:
        student: None for the only one.

    Raises:
        NotFound: if there is no such job or student, or it has several and none is named.
        JobNotSucceeded: if there are no files yet, or never will be.
        FilesDeleted: if the job is old.
        NothingToPredictWith: if no ONNX file is among them.
    """
    job = jobs.find(session, tenant, job_id)
    if job.state != JobState.SUCCEEDED:
        raise JobNotSucceeded(f"The job is {job.state}.", hint="Predictions are possible once the job has succeeded.")
    require_files(job)
    if student is None and not JobSpec.read(job.spec).every_student:
        raise NothingToPredictWith(
            "The job has trained no student.", hint="Create a job with a student; method `probe` trains none."
        )
    chosen = named_student(job, student)
    network, manifest = (queries.get_artifact(session, job.id, chosen.prefix + name) for name in (NETWORK, MANIFEST))
    if network is None or manifest is None:
        raise NothingToPredictWith(
            f"The job has published no {NETWORK} with its {MANIFEST}.",
            hint="Create a job with `onnx` among its export.formats; GET /v1/jobs/{id}/artifacts lists the files.",
        )
    return Target(job.id, chosen.name, network.name, Exported(stored(network), stored(manifest)))
