"""The students of the moment, while their jobs train."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.engine import insert
from app.db.models import Artifact, Job, JobPreview, utcnow
from app.db.queries import jobs as queries
from app.domain.errors import NotFound, PreviewGone, PreviewNotReady
from app.domain.previews import PREVIEW_ONNX, PREVIEW_WEIGHTS, PreviewMark
from app.domain.spec import JobSpec
from app.domain.states import TERMINAL_JOB_STATES, JobState, Stage
from app.services import jobs
from app.services.artifacts import require_files
from app.services.students import NamedStudent, named_student
from app.storage.published import StoredFile

MEDIA_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Preview:
    """A file of a student of the moment."""

    job_id: str
    student: str
    stored: StoredFile
    mark: PreviewMark | None
    """None where its job was cancelled and it was kept: the file itself says what it is."""
    is_outdated: bool = False
    """There are newer weights, of which no ONNX file has been made."""


def find(session: Session, tenant: str, job_id: str, student: str | None, name: str) -> Preview:
    """
    Args:
        student: None for the only one.
        name: `student.preview.onnx` or `student.preview.safetensors`.

    Raises:
        NotFound: if there is no such job or student.
        StudentRequired: if it has several and none is named.
        PreviewNotReady: if there is none yet; ask for it with `want`.
        PreviewGone: if the job has ended.
        FilesDeleted: if it ended long ago.
    """
    job = jobs.find(session, tenant, job_id)
    require_files(job)
    if student is None and not JobSpec.read(job.spec).every_student:
        raise NotFound("The job trains no student, so it has no preview.", param="student")
    chosen = named_student(job, student)
    kept = queries.get_artifact(session, job.id, chosen.prefix + name)
    if kept is not None:
        return Preview(job.id, chosen.name, StoredFile(kept.storage_key, kept.bytes, kept.sha256), None)
    _require_training(job, chosen)
    found = queries.get_preview(session, job.id, chosen.name, name)
    if found is None:
        weights = queries.get_preview(session, job.id, chosen.name, PREVIEW_WEIGHTS)
        raise _not_ready(job, chosen, has_weights=weights is not None)
    weights = queries.get_preview(session, job.id, chosen.name, PREVIEW_WEIGHTS) if name == PREVIEW_ONNX else None
    return Preview(
        job.id,
        chosen.name,
        StoredFile(found.storage_key, found.bytes, found.sha256),
        PreviewMark.model_validate(found.mark),
        is_outdated=weights is not None and weights.step > found.step,
    )


@dataclass(frozen=True, slots=True)
class Moment:
    """How far a student is, and what there is of it."""

    mark: PreviewMark
    """Of its weights."""
    onnx_step: int | None
    """The step of its ONNX file, which may be older; None where nobody has asked for one."""


def moments(session: Session, job: Job) -> list[Moment]:
    """Of the students that have been validated once, in the order of the spec. None of a job that has ended."""
    if job.state in TERMINAL_JOB_STATES:
        return []
    found = {(preview.student, preview.name): preview for preview in queries.list_previews(session, job.id)}
    latest = []
    for student in JobSpec.read(job.spec).every_student if found else ():
        weights, onnx = found.get((student, PREVIEW_WEIGHTS)), found.get((student, PREVIEW_ONNX))
        if weights is not None:
            latest.append(Moment(PreviewMark.model_validate(weights.mark), onnx.step if onnx is not None else None))
    return latest


def want(session: Session, tenant: str, job_id: str, student: str | None) -> None:
    """Have the ONNX file of the latest preview made, if the job trains."""
    job = jobs.find(session, tenant, job_id)
    wanted = named_student(job, student).name
    if job.state == JobState.RUNNING and job.preview_wanted != wanted:
        queries.want_preview(session, job.id, wanted)


def replace(session: Session, job: Job, mark: PreviewMark, name: str, file: StoredFile) -> str | None:
    """Record a preview in place of the one before. Returns the storage key of that, which nothing names any more."""
    before = queries.get_preview(session, job.id, mark.student, name)
    columns = {
        "step": mark.step,
        "mark": mark.model_dump(mode="json"),
        "bytes": file.bytes,
        "sha256": file.sha256,
        "storage_key": file.key,
        "created_at": utcnow(),
    }
    row = insert(session, JobPreview).values(job_id=job.id, student=mark.student, name=name, **columns)
    session.execute(row.on_conflict_do_update(index_elements=["job_id", "student", "name"], set_=columns))
    if name == PREVIEW_ONNX and job.preview_wanted == mark.student:
        job.preview_wanted = None
    session.flush()
    return before.storage_key if before is not None and before.storage_key != file.key else None


def keep_if_asked(session: Session, job: Job) -> None:
    """Make the previews of a job that was cancelled its files, where its user has asked for that."""
    if not job.keep_preview:
        return
    has_folders = JobSpec.read(job.spec).students is not None
    for preview in queries.list_previews(session, job.id):
        prefix = f"{preview.student}/" if has_folders else ""
        session.add(
            Artifact(
                job_id=job.id,
                name=prefix + preview.name,
                bytes=preview.bytes,
                sha256=preview.sha256,
                media_type=MEDIA_TYPE,
                storage_key=preview.storage_key,
            )
        )
        session.delete(preview)
    session.flush()


def _require_training(job: Job, student: NamedStudent) -> None:
    if job.state == JobState.SUCCEEDED:
        raise PreviewGone(
            "The job has succeeded: its finished student has replaced the preview.",
            hint=f"Use {student.prefix}student.onnx; GET /v1/jobs/{{id}}/artifacts lists the files.",
        )
    if job.state in {JobState.FAILED, JobState.CANCELLED}:
        hint = 'To keep it, cancel a job with {"keep_preview": true}.' if job.state == JobState.CANCELLED else None
        raise PreviewGone(f"The job is {job.state}, and its preview was not kept.", hint=hint)


def _not_ready(job: Job, student: NamedStudent, *, has_weights: bool) -> PreviewNotReady:
    if not has_weights:
        detail = f"{student.name} has no preview yet: the job is {job.state}."
        return PreviewNotReady(detail, hint="There is one from the student's first validation on; ask again later.")
    if job.state != JobState.RUNNING:
        hint = f"Download {student.prefix}{PREVIEW_WEIGHTS}, or resume the job."
        return PreviewNotReady(f"The job is {job.state}, and no worker can make the ONNX file.", hint=hint)
    if job.stage in {Stage.EVALUATE, Stage.EXPORT}:
        hint = f"Wait for {student.prefix}student.onnx, or download {student.prefix}{PREVIEW_WEIGHTS}."
        return PreviewNotReady("The training has ended, and the finished files are being made.", hint=hint)
    return PreviewNotReady("The preview is being made.", hint="Ask again in a few seconds.")
