"""Jobs: what is accepted, what is warned about, what a user may do to one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app import log_context
from app.db import queries
from app.db.ids import new_id
from app.db.locks import LockTimeout, lock_timeout
from app.db.models import IdempotencyKey, Job
from app.db.queries import Page, Stamp
from app.domain.access import Quotas
from app.domain.errors import (
    IdempotencyKeyInFlight,
    IdempotencyKeyReused,
    NotFound,
    QueueQuotaExceeded,
    StateConflict,
)
from app.domain.line import Place
from app.domain.spec import JobSpec
from app.domain.states import TERMINAL_JOB_STATES, JobState, StopRequest
from app.request_id import current_request_id
from app.services import catalog, datasets, quotas, refusals
from app.services.leases import read_spec
from app.services.states import FIRST_EVENT, add_event, move_job

IN_FLIGHT_SECONDS = 3
"""A twin of a request under way waits so long for its end, to give the same job; it takes milliseconds as a rule."""


@dataclass(frozen=True, slots=True)
class Submission:
    """The job that a request stands for; `replayed` when an earlier one with the same Idempotency-Key made it."""

    job: Job
    replayed: bool


def submit(
    session: Session, defaults: Quotas, tenant: str, spec: JobSpec, idempotency_key: str | None = None
) -> Submission:
    """Queue a job, or give the one that this key has queued before.

    Raises:
        QueueQuotaExceeded: if the tenant has as many queued jobs as it may have.
        NotFound, DatasetNotReady, UnknownTeacher, UnknownStudent, ModelRefused, CatalogEmpty: if it could not run.
        IdempotencyKeyReused: if the key came with another spec before.
        IdempotencyKeyInFlight: if it came before and that request still has no answer, for longer than a moment.
    """
    if idempotency_key is None:
        return Submission(_queue(session, defaults, tenant, spec), replayed=False)
    if earlier := _replay(session, tenant, spec, idempotency_key):
        return earlier
    try:
        with session.begin_nested():
            job = _queue(session, defaults, tenant, spec)
            with lock_timeout(session, IN_FLIGHT_SECONDS):
                session.add(
                    IdempotencyKey(tenant=tenant, key=idempotency_key, request_sha256=spec.fingerprint(), job_id=job.id)
                )
                session.flush()
    except (IntegrityError, QueueQuotaExceeded):
        # a twin of this request was faster; it has committed, or the constraint would have let this one wait
        earlier = _replay(session, tenant, spec, idempotency_key)
        if earlier is None:
            raise
        return earlier
    except LockTimeout as error:
        raise IdempotencyKeyInFlight(
            "An earlier request with this Idempotency-Key has not been answered yet.",
            hint="Send the same request again in a few seconds.",
            param="Idempotency-Key",
        ) from error
    return Submission(job, replayed=False)


def find(session: Session, tenant: str, job_id: str) -> Job:
    """
    Raises:
        NotFound: if there is none, or it belongs to someone else.
    """
    job = queries.get_job(session, tenant, job_id)
    if job is None:
        raise _not_found()
    log_context.add(job_id=job.id)
    return job


def stamp(session: Session, tenant: str, job_id: str) -> Stamp:
    """As `find`, but only what tells whether anything has changed."""
    found = queries.get_stamp(session, tenant, job_id)
    if found is None:
        raise _not_found()
    log_context.add(job_id=found.id)
    return found


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


def queue_places(session: Session, defaults: Quotas, jobs: Sequence[Job | Stamp]) -> dict[str, Place]:
    """Id to place for those that are queued."""
    queued = [job.id for job in jobs if job.state == JobState.QUEUED]
    return queries.queue_places(session, queued, defaults.running) if queued else {}


def cancel(session: Session, tenant: str, job_id: str) -> Job:
    """End a waiting job at once; ask the worker of a running one to stop it. Asking twice is asking once.

    Raises:
        StateConflict: if it has ended.
    """
    job = _locked(session, tenant, job_id)
    _refuse_if_ended(job)
    if job.state == JobState.RUNNING:
        _ask_worker(session, job, StopRequest.CANCEL)
    else:
        move_job(session, job, JobState.CANCELLED, "cancelled", "Cancelled while no worker had it.")
    return job


def pause(session: Session, tenant: str, job_id: str) -> Job:
    """Take a waiting job out of the queue; ask the worker of a running one to save and free it. Twice is once.

    Raises:
        StateConflict: if it has ended or is being cancelled.
    """
    job = _locked(session, tenant, job_id)
    _refuse_if_ended(job)
    if job.stop_requested == StopRequest.CANCEL:
        raise StateConflict("The job is being cancelled.")
    if job.state == JobState.RUNNING:
        _ask_worker(session, job, StopRequest.PAUSE)
    elif job.state == JobState.QUEUED:
        move_job(session, job, JobState.PAUSED, "paused", "Taken out of the queue.")
    return job


def resume(session: Session, defaults: Quotas, tenant: str, job_id: str) -> Job:
    """Queue a paused job again, in its old place; it goes on from its checkpoint. Where the worker was only asked to
    pause it, it need not.

    Raises:
        StateConflict: if it is neither paused nor about to be.
        QueueQuotaExceeded: as `submit`.
    """
    job = _locked(session, tenant, job_id)
    if job.state == JobState.PAUSED:
        quotas.require_place_in_queue(session, defaults, tenant)
        move_job(session, job, JobState.QUEUED, "resumed", "The job waits for a worker.")
    elif job.stop_requested == StopRequest.PAUSE:
        job.stop_requested = None
        add_event(session, job, "info", "pause_withdrawn", "The job shall go on.")
    else:
        raise StateConflict(f"The job is {JobState(job.state)}, not paused.")
    return job


def retry(session: Session, defaults: Quotas, tenant: str, job_id: str) -> Job:
    """A new job with the spec of one that failed or was cancelled; it goes on from that one's checkpoint, if any is
    kept. An ended job itself never changes.

    Raises:
        StateConflict: if it has not ended, or has succeeded.
        InvalidSpec: if another version has made it.
        QueueQuotaExceeded: as `submit`.
        NotFound, DatasetNotReady, UnknownTeacher, UnknownStudent, ModelRefused, CatalogEmpty: if it could not run any
            more.
    """
    ended = _locked(session, tenant, job_id)
    if ended.state not in {JobState.FAILED, JobState.CANCELLED}:
        hint = "Wait until it has ended, or cancel it." if ended.state != JobState.SUCCEEDED else None
        raise StateConflict(f"Only a failed or cancelled job can be retried; this one is {ended.state}.", hint=hint)
    job = _queue(session, defaults, tenant, read_spec(ended))
    job.retry_of, job.checkpoint_key = ended.id, ended.checkpoint_key
    if ended.checkpoint_key is not None:  # one heir: two jobs on one checkpoint would each delete it
        queries.forget_checkpoint(session, ended.id, ended.checkpoint_key)
    add_event(session, job, "info", "retry", f"It tries {ended.id} again.", data={"retry_of": ended.id})
    return job


def _not_found() -> NotFound:
    return NotFound("There is no such job.", hint="GET /v1/jobs lists yours.")


def _locked(session: Session, tenant: str, job_id: str) -> Job:
    job = find(session, tenant, job_id)
    session.refresh(job, with_for_update=True)
    return job


def _refuse_if_ended(job: Job) -> None:
    if job.state in TERMINAL_JOB_STATES:
        raise StateConflict(f"The job has ended already: it is {JobState(job.state)}.")


def _ask_worker(session: Session, job: Job, request: StopRequest) -> None:
    if job.stop_requested != request:
        job.stop_requested = request
        add_event(session, job, "info", f"{request}_requested", "The worker was asked to stop.")


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


def _queue(session: Session, defaults: Quotas, tenant: str, spec: JobSpec) -> Job:
    quotas.require_place_in_queue(session, defaults, tenant)  # the tenant's row before a data set's, as elsewhere
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
    log_context.add(job_id=job.id, dataset_id=dataset.id)
    data = {"from": None, "to": JobState.QUEUED.value, "request_id": current_request_id()}
    add_event(session, job, "state", "submitted", "The job waits for a worker.", data=data, seq=FIRST_EVENT)
    return job


def _check_models(session: Session, spec: JobSpec) -> list[str]:
    param = "student" if spec.students is None else "students"
    offer = catalog.offer(session)
    students = catalog.find_students(offer, spec.every_student, pretrained=spec.starts_pretrained, param=param)
    teacher = None if spec.teacher is None else catalog.find_teacher(offer, spec.teacher)
    refusals.require_possible(offer, spec, teacher, students)
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
