"""Jobs: what is accepted, with which warnings, and what a user may do with one."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session

from app import log_context
from app.db.ids import new_id
from app.db.models import Dataset, IdempotencyKey, Job, JobEvent
from app.db.queries import datasets as dataset_queries
from app.db.queries import jobs as queries
from app.db.queries import queue as queue_queries
from app.db.queries.jobs import Stamp
from app.db.queries.page import Page
from app.domain.access import Caller, Quotas
from app.domain.errors import (
    InvalidSpec,
    JobTooLong,
    NotFound,
    QueueQuotaExceeded,
)
from app.domain.fair_queue import QueuePosition
from app.domain.methods import METHODS
from app.domain.spec import JobSpec, Reporting
from app.domain.states import JobState
from app.log_context import current_request_id
from app.services import audit, catalog, datasets, estimates, idempotency, quotas, timing
from app.services.compatibility import require_possible
from app.services.estimates import Bounds, Estimate, Limit
from app.services.states import FIRST_EVENT, STATE_EVENT, add_event

UNREPORTED = Reporting()
TAKES_LONG = "takes_long"
"""The code of the event that warns of a job which nobody will want to wait for."""


@dataclass(frozen=True, slots=True)
class Submission:
    """The job that a request stands for; `replayed` when an earlier one with the same Idempotency-Key made it."""

    job: Job
    replayed: bool


def submit(
    session: Session,
    defaults: Quotas,
    caller: Caller,
    spec: JobSpec,
    idempotency_key: str | None = None,
    reporting: Reporting = UNREPORTED,
) -> Submission:
    """Queue a job, or give the one that this key has queued before.

    Raises:
        QueueQuotaExceeded: if the tenant has as many queued jobs as it may have.
        InvalidSpec: if it sets an option that its method does not read.
        JobTooLong: if it would take longer than the operator allows.
        NotFound, DatasetNotReady, UnknownTeacher, UnknownStudent, ModelRefused, CatalogEmpty: if it could not run.
        IdempotencyKeyReused: if the key came with another spec before.
        IdempotencyKeyInFlight: if it came before and that request still has no answer, for longer than a moment.
    """
    submission = _submit(session, defaults, caller.tenant, spec, reporting, idempotency_key)
    audit.record(session, caller, "create_job", submission.job.id)
    return submission


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


def events(session: Session, tenant: str, job_id: str, *, after: int, limit: int) -> Page[JobEvent]:
    """What happened to a job, oldest first: the events after number `after`.

    Raises:
        NotFound: if there is no such job.
    """
    return queries.list_events(session, stamp(session, tenant, job_id).id, after=after, limit=limit)


def queue_positions(session: Session, defaults: Quotas, jobs: Sequence[Job | Stamp]) -> dict[str, QueuePosition]:
    """Id to place for those that are queued."""
    queued = [job.id for job in jobs if job.state == JobState.QUEUED]
    return queue_queries.queue_positions(session, queued, defaults.running) if queued else {}


def _submit(
    session: Session,
    defaults: Quotas,
    tenant: str,
    spec: JobSpec,
    reporting: Reporting,
    idempotency_key: str | None,
) -> Submission:
    sha256 = _fingerprint(spec, reporting)
    if idempotency_key is not None and (earlier := _replay(session, tenant, sha256, idempotency_key)):
        return earlier
    _require_read_options(spec)
    if idempotency_key is None:
        return Submission(queue(session, defaults, tenant, spec, reporting), replayed=False)
    try:
        with session.begin_nested():
            job = queue(session, defaults, tenant, spec, reporting)
            key = IdempotencyKey(tenant=tenant, key=idempotency_key, request_sha256=sha256, job_id=job.id)
            idempotency.note(session, key)
    except (idempotency.Taken, QueueQuotaExceeded):
        earlier = _replay(session, tenant, sha256, idempotency_key)
        if earlier is None:
            raise
        return earlier
    return Submission(job, replayed=False)


def _not_found() -> NotFound:
    return NotFound("There is no such job.", hint="GET /v1/jobs lists your jobs.")


def locked(session: Session, tenant: str, job_id: str) -> Job:
    """As `find`, and nobody else changes it until the transaction ends."""
    job = find(session, tenant, job_id)
    try:
        session.refresh(job, with_for_update=True)
    except InvalidRequestError:  # deleted by another while this one waited for the lock
        raise _not_found() from None
    return job


def _fingerprint(spec: JobSpec, reporting: Reporting) -> str:
    """Equal for equal requests."""
    sha256 = spec.fingerprint()
    track = None if reporting.track is None else json.dumps(reporting.track, sort_keys=True)
    for more in filter(None, (reporting.webhook_url, track)):  # without any, as keys of earlier versions have it
        sha256 = hashlib.sha256(f"{sha256} {more}".encode()).hexdigest()
    return sha256


def _replay(session: Session, tenant: str, sha256: str, key: str) -> Submission | None:
    job_id = idempotency.made_before(session, IdempotencyKey, tenant, key, sha256)
    return None if job_id is None else Submission(session.get_one(Job, job_id), replayed=True)


def queue(session: Session, defaults: Quotas, tenant: str, spec: JobSpec, reporting: Reporting = UNREPORTED) -> Job:
    """Add a job that waits for a worker.

    Raises:
        NotFound, DatasetNotReady, UnknownTeacher, UnknownStudent, ModelRefused, CatalogEmpty: if it could not run.
        QueueQuotaExceeded: if the tenant has too many that wait.
        JobTooLong: as `submit`.
    """
    quotas.require_place_in_queue(session, defaults, tenant)  # the tenant's row before a data set's, as elsewhere
    dataset = dataset_queries.lock_dataset(session, tenant, spec.dataset_id, exclusive=False)
    warnings = _check(session, spec, dataset)
    assert dataset is not None, "it was checked"
    found = estimates.estimate(session, spec, dataset)
    too_long = estimates.require_sensible(found, defaults)
    job = Job(
        id=new_id("job"),
        tenant=tenant,
        dataset_id=dataset.id,
        priority=spec.priority,
        spec=spec.model_dump(mode="json"),
        warnings=[*warnings, *too_long],
        expected_seconds=None if found.seconds is None else found.seconds.expected,
        user_metadata=dict(spec.metadata),
        webhook_url=reporting.webhook_url,
        track=reporting.track,
    )
    session.add(job)
    session.flush()
    log_context.add(job_id=job.id, dataset_id=dataset.id)
    data = {"from": None, "to": JobState.QUEUED.value, "request_id": current_request_id()}
    add_event(session, job, STATE_EVENT, "submitted", "The job waits for a worker.", data=data, seq=FIRST_EVENT)
    for warning in too_long:
        add_event(session, job, "warning", TAKES_LONG, warning, seq=FIRST_EVENT + 1)
    return job


def _check(session: Session, spec: JobSpec, dataset: Dataset | None) -> list[str]:
    """Returns what its user is told of a job that could run.

    The data set comes last: whoever is still to upload it can hear before that whether the rest is right.

    Raises:
        NotFound, DatasetNotReady, UnknownTeacher, UnknownStudent, ModelRefused, CatalogEmpty: if it could not.
    """
    warnings = _check_models(session, spec)
    if dataset is None:
        raise NotFound("There is no such data set.", hint="GET /v1/datasets lists your data sets.", param="dataset_id")
    datasets.require_ready(dataset, param="dataset_id")
    return warnings


def estimate(
    session: Session, defaults: Quotas, caller: Caller, spec: JobSpec, bounds: Bounds, lease_seconds: float
) -> Estimate:
    """What a job would take and would be told, without creating it.

    Raises:
        InvalidSpec, NotFound, DatasetNotReady, UnknownTeacher, UnknownStudent, ModelRefused, CatalogEmpty: as `submit`.
    """
    _require_read_options(spec)
    dataset = dataset_queries.get_dataset(session, caller.tenant, spec.dataset_id)
    warnings = _check(session, spec, dataset)
    assert dataset is not None, "it was checked"
    found = estimates.estimate(session, spec, dataset, bounds)
    limits = list(found.limits)
    try:
        warnings += estimates.require_sensible(found, defaults)
    except JobTooLong as refused:
        limits.append(Limit("TDMR_MAX_JOB_HOURS", refused.detail))
    queued = quotas.of_tenant(session, defaults, caller.tenant).queued
    if queued is not None and queue_queries.queued_jobs(session, caller.tenant) >= queued:
        limits.append(Limit("TDMR_TENANT_MAX_QUEUED", f"You have {queued:,} queued jobs, as many as you may have."))
    start = timing.estimated_next_start(session, defaults, lease_seconds)
    if start is None:
        found.unknown["estimated_start"] = "no worker gives signs of life, or nobody knows how long the jobs ahead take"
    return replace(found, limits=limits, warnings=warnings, estimated_start=start)


def _require_read_options(spec: JobSpec) -> None:
    """A new job says what it means; an old one, which may be retried, was accepted as it is."""
    for name in spec.unread_options:
        readers = ", ".join(sorted(info.name for info in METHODS.values() if name in info.reads))
        raise InvalidSpec(
            f"'{name}' is not read by method '{spec.method}'.",
            hint=f"Leave out distill.{name}, or choose a method that reads it: {readers or 'one with a student'}.",
            param=f"distill.{name}",
        )


def _check_models(session: Session, spec: JobSpec) -> list[str]:
    param = "student" if spec.students is None else "students"
    offer = catalog.offer(session)
    named = {name for name in spec.every_student if "." in name and spec.may_start_pretrained}
    from_weights = spec.every_student if spec.starts_pretrained else named
    students = catalog.find_students(offer, spec.every_student, from_weights=from_weights, param=param)
    teachers = catalog.find_teachers(
        offer, spec.every_teacher, param="teacher" if spec.teachers is None else "teachers"
    )
    require_possible(offer, spec, teachers, students)
    warnings = []
    if (spec.student or spec.students) and not spec.method_info.needs_student:
        warnings.append(f"Method '{spec.method}' trains no student; the one named is ignored.")
    warnings += [
        f"'{name}' names weights, but they are used only with 'pretrained'."
        for name in spec.every_student
        if "." in name and not spec.may_start_pretrained
    ]
    if teachers and not spec.method_info.needs_teacher:
        ignored = "the one named is ignored" if len(teachers) == 1 else "those named are ignored"
        return [*warnings, f"Method '{spec.method}' uses no teacher; {ignored}."]
    known = [card.parameters for card in teachers if card.parameters is not None]
    largest = max(known, default=None) if len(known) == len(teachers) else None
    return warnings + [
        f"The student {student.name} ({student.parameters:,} parameters) is larger than the teacher "
        f"({largest:,}): distillation may not help. Choose a smaller student or a larger teacher."
        for student in students
        if largest is not None and student.parameters > largest
    ]
