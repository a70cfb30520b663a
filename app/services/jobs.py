"""Jobs: what is accepted, what is warned about, what a user may do to one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db import queries
from app.db.ids import new_id
from app.db.models import IdempotencyKey, Job
from app.db.queries import Page
from app.domain.errors import IdempotencyKeyReused, NotFound, StateConflict
from app.domain.spec import JobSpec
from app.domain.states import TERMINAL_JOB_STATES, JobState
from app.services import catalog, datasets
from app.services.states import add_event, move_job


@dataclass(frozen=True, slots=True)
class Submission:
    """The job that a request stands for; `replayed` when an earlier one with the same Idempotency-Key made it."""

    job: Job
    replayed: bool


def submit(session: Session, tenant: str, spec: JobSpec, idempotency_key: str | None = None) -> Submission:
    """Queue a job, or give the one that this key has queued before.

    Raises:
        NotFound, DatasetNotReady, UnknownTeacher, UnknownStudent, CatalogEmpty: if it could not run.
        IdempotencyKeyReused: if the key came with another spec before.
    """
    if idempotency_key is None:
        return Submission(_queue(session, tenant, spec), replayed=False)
    if earlier := _replay(session, tenant, spec, idempotency_key):
        return earlier
    try:
        with session.begin_nested():
            job = _queue(session, tenant, spec)
            session.add(
                IdempotencyKey(tenant=tenant, key=idempotency_key, request_sha256=spec.fingerprint(), job_id=job.id)
            )
    except IntegrityError:
        # a twin of this request was faster; it has committed, or the constraint would have let this one wait
        earlier = _replay(session, tenant, spec, idempotency_key)
        if earlier is None:
            raise
        return earlier
    return Submission(job, replayed=False)


def find(session: Session, tenant: str, job_id: str) -> Job:
    """
    Raises:
        NotFound: if there is none, or it belongs to someone else.
    """
    job = queries.get_job(session, tenant, job_id)
    if job is None:
        raise NotFound("There is no such job.", hint="GET /v1/jobs lists yours.")
    return job


def page(
    session: Session,
    tenant: str,
    *,
    after: str | None,
    limit: int,
    states: Sequence[JobState] = (),
    metadata: Mapping[str, str] | None = None,
) -> Page[Job]:
    """Newest first; in any of `states`, with all pairs of `metadata`."""
    return queries.list_jobs(session, tenant, after=after, limit=limit, states=states, metadata=metadata)


def queue_positions(session: Session, jobs: Sequence[Job]) -> dict[str, int]:
    """Id to position for those that are queued; 1 runs next."""
    queued = [job.id for job in jobs if job.state == JobState.QUEUED]
    return queries.queue_positions(session, queued) if queued else {}


def cancel(session: Session, tenant: str, job_id: str) -> Job:
    """End a waiting job at once; ask the worker of a running one to stop it. Asking twice is asking once.

    Raises:
        StateConflict: if it has ended.
    """
    job = find(session, tenant, job_id)
    session.refresh(job, with_for_update=True)
    if job.state in TERMINAL_JOB_STATES:
        raise StateConflict(f"The job has ended already: it is {JobState(job.state)}.")
    if job.state != JobState.RUNNING:
        move_job(session, job, JobState.CANCELLED, "cancelled", "Cancelled before it ran.")
    elif not job.cancel_requested:
        job.cancel_requested = True
        add_event(session, job, "info", "cancel_requested", "The worker was asked to stop.")
    return job


def _replay(session: Session, tenant: str, spec: JobSpec, key: str) -> Submission | None:
    earlier = queries.get_idempotency_key(session, tenant, key)
    if earlier is None:
        return None
    if earlier.request_sha256 != spec.fingerprint():
        raise IdempotencyKeyReused(
            "This Idempotency-Key came with another body before.",
            hint="Use a fresh key for each job that you mean to create.",
            param="Idempotency-Key",
        )
    return Submission(session.get_one(Job, earlier.job_id), replayed=True)


def _queue(session: Session, tenant: str, spec: JobSpec) -> Job:
    dataset = queries.lock_dataset(session, tenant, spec.dataset_id, exclusive=False)
    if dataset is None:
        raise NotFound("There is no such data set.", hint="GET /v1/datasets lists yours.", param="dataset_id")
    datasets.require_ready(dataset, param="dataset_id")
    job = Job(
        id=new_id("job"),
        tenant=tenant,
        dataset_id=dataset.id,
        priority=spec.priority,
        spec=spec.model_dump(mode="json"),
        warnings=_check_models(session, spec),
        user_metadata=dict(spec.metadata),
    )
    session.add(job)
    session.flush()
    data = {"from": None, "to": JobState.QUEUED.value}
    add_event(session, job, "state", "submitted", "The job waits for a worker.", data=data)
    return job


def _check_models(session: Session, spec: JobSpec) -> list[str]:
    param = "student" if spec.students is None else "students"
    students = catalog.find_students(session, spec.every_student, pretrained=spec.starts_pretrained, param=param)
    teacher = None if spec.teacher is None else catalog.find_teacher(session, spec.teacher)
    warnings = []
    if (spec.student or spec.students) and not spec.method.needs_student:
        warnings.append(f"Method '{spec.method}' trains no student; what is named is ignored.")
    warnings += [
        f"'{name}' names weights, but without 'pretrained' the student starts from none."
        for name in spec.every_student
        if "." in name and not spec.starts_pretrained
    ]
    if teacher is None:
        return warnings
    if not spec.method.needs_teacher:
        return [*warnings, f"Method '{spec.method}' uses no teacher; the one named is ignored."]
    return warnings + [
        f"The student {student.name} ({student.parameters:,} parameters) is larger than the teacher "
        f"({teacher.parameters:,}): distillation may not help it. Choose a smaller student or a larger teacher."
        for student in students
        if teacher.parameters is not None and student.parameters > teacher.parameters
    ]
