"""Queries about jobs: their order, their claims, and what they leave."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, cast, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, aliased, defer

from app.db.access_models import Tenant
from app.db.ids import is_id
from app.db.models import Artifact, Job, JobEvent, JobMetric, JobPreview, QueueTurn
from app.db.queries.page import Page, page_of
from app.domain.fair_queue import Group, QueueOrder, QueuePosition
from app.domain.states import TERMINAL_JOB_STATES, JobState, Stage

# What nearly every request sends is built once: building a statement takes as long as sending it.
_OF_TENANT = (Job.id == bindparam("id"), Job.tenant == bindparam("tenant"))
_JOB = select(Job).where(*_OF_TENANT).options(defer(Job.evaluation))
_STAMP = select(Job.id, Job.state, Job.epoch, Job.updated_at).where(*_OF_TENANT)
_STAMPS = select(Job.id, Job.state, Job.epoch, Job.updated_at).where(Job.id.in_(bindparam("ids", expanding=True)))
_EVENTS = (
    select(JobEvent)
    .where(JobEvent.job_id == bindparam("id"), JobEvent.seq > bindparam("after"))
    .order_by(JobEvent.seq)
    .limit(bindparam("limit"))
)
_LAST_EVENT = select(func.max(JobEvent.seq)).where(JobEvent.job_id == bindparam("id"))
_PEER = aliased(Job)
_ROUND = (
    select(func.count())
    .where(_PEER.state == JobState.QUEUED, _PEER.priority == Job.priority, _PEER.tenant == Job.tenant)
    .where(_PEER.id <= Job.id)
)
_ROUNDS = select(Job.id, Job.priority, Job.tenant, _ROUND.scalar_subquery().label("round")).where(
    Job.id.in_(bindparam("job_ids", expanding=True)), Job.state == JobState.QUEUED
)
_WAITING = (
    select(Job.priority, Job.tenant, func.count().label("jobs"), func.min(Job.id).label("oldest"))
    .where(Job.state == JobState.QUEUED)
    .group_by(Job.priority, Job.tenant)
    .subquery()
)
_RUNNING = (
    select(Job.tenant, func.count().label("jobs")).where(Job.state == JobState.RUNNING).group_by(Job.tenant).subquery()
)
_GROUPS = (
    select(
        _WAITING,
        func.coalesce(QueueTurn.turn, 0).label("turn"),
        func.coalesce(_RUNNING.c.jobs, 0).label("running"),
        Tenant.max_running.label("limit"),
    )
    .outerjoin(QueueTurn, and_(QueueTurn.priority == _WAITING.c.priority, QueueTurn.tenant == _WAITING.c.tenant))
    .outerjoin(Tenant, Tenant.name == _WAITING.c.tenant)
    .outerjoin(_RUNNING, _RUNNING.c.tenant == _WAITING.c.tenant)
)

_CLAIMING = 2304_02264
"""The advisory lock of those who choose a job to run."""


class Stamp(NamedTuple):
    """What tells one version of a job or data set from another: a change that users see sets `updated_at`."""

    id: str
    state: str
    epoch: int
    updated_at: datetime


def get_job(session: Session, tenant: str, job_id: str) -> Job | None:
    """Its evaluation, which may be long, is read when it is asked for."""
    if not is_id(job_id, "job"):
        return None
    return session.scalar(_JOB, {"id": job_id, "tenant": tenant})


def get_stamp(session: Session, tenant: str, job_id: str) -> Stamp | None:
    if not is_id(job_id, "job"):
        return None
    row = session.execute(_STAMP, {"id": job_id, "tenant": tenant}).first()
    return None if row is None else Stamp(*row)


def stamps(session: Session, job_ids: Sequence[str]) -> list[Stamp]:
    """Of those that exist, whosever they are."""
    rows = session.execute(_STAMPS, {"ids": job_ids})
    return [Stamp(*row) for row in rows]


def list_jobs(
    session: Session,
    tenant: str,
    *,
    after: str | None,
    limit: int,
    states: Sequence[JobState] = (),
    metadata: Mapping[str, str] | None = None,
) -> Page[Job]:
    """Jobs in any of `states` (none given: all) that carry all pairs of `metadata`."""
    statement = select(Job).where(Job.tenant == tenant).order_by(Job.id.desc()).options(defer(Job.evaluation))
    if after is not None:
        statement = statement.where(Job.id < after)
    if states:
        statement = statement.where(Job.state.in_(states))
    for key, value in (metadata or {}).items():
        statement = statement.where(_has_pair(session, key, value))
    return page_of(session, statement, limit)


def list_on_dataset(session: Session, tenant: str, dataset_id: str, limit: int) -> Sequence[Job]:
    """Newest first."""
    on_it = select(Job).where(Job.dataset_id == dataset_id, Job.tenant == tenant).options(defer(Job.evaluation))
    return session.scalars(on_it.order_by(Job.id.desc()).limit(limit)).all()


def count_jobs(session: Session, tenant: str) -> dict[JobState, int]:
    """A tenant's jobs by state; a state without any is left out."""
    rows = session.execute(select(Job.state, func.count()).where(Job.tenant == tenant).group_by(Job.state))
    return {JobState(state): count for state, count in rows}


def running_on_workers(session: Session) -> list[tuple[str, str, str]]:
    """Worker, job and tenant of each running job."""
    rows = session.execute(select(Job.worker_id, Job.id, Job.tenant).where(Job.state == JobState.RUNNING))
    return [(worker, job_id, tenant) for worker, job_id, tenant in rows if worker is not None]


def queue_groups(session: Session, max_running: int | None = None) -> list[Group]:
    """What waits, by priority and tenant, the next ones first; `max_running` as for `queue_positions`."""
    groups = _queue_order(session, max_running).groups.values()
    return sorted(groups, key=lambda group: (-group.priority, group.free == 0, group.precedence))


def queue_positions(
    session: Session, job_ids: Sequence[str], max_running: int | None = None
) -> dict[str, QueuePosition]:
    """Jobs that are not queued are left out.

    Args:
        max_running: most running jobs of a tenant that has no quota of its own; None: no limit.
    """
    rows = session.execute(_ROUNDS, {"job_ids": job_ids}).all()
    line = _queue_order(session, max_running)
    places = {row.id: line.place(row.priority, row.tenant, row.round) for row in rows}
    return {job_id: place for job_id, place in places.items() if place is not None}


def next_queued_job(session: Session, max_running: int | None = None) -> str | None:
    """The id of the queued job that runs next, None if none may. Until the transaction ends nobody else asks: two
    workers at once would both take a tenant's last place."""
    if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        session.execute(select(func.pg_advisory_xact_lock(_CLAIMING)))
    return _queue_order(session, max_running).first


def queued_jobs(session: Session, tenant: str) -> int:
    """How many of a tenant's jobs wait for a worker."""
    waiting = (Job.tenant == tenant, Job.state == JobState.QUEUED)
    return session.scalar(select(func.count()).select_from(Job).where(*waiting)) or 0


def _queue_order(session: Session, max_running: int | None) -> QueueOrder:
    groups, left = [], {}
    for row in session.execute(_GROUPS):
        groups.append(Group(row.priority, row.tenant, row.jobs, row.oldest, row.turn, free=row.jobs))
        limit = max_running if row.limit is None else row.limit
        if limit is not None:
            left[row.tenant] = limit - row.running
    return QueueOrder.from_groups(groups, left)


class Held(NamedTuple):
    """A claim as the store sees it. Another value of any of the three is a sign of life."""

    id: str
    epoch: int
    hb_seq: int


class Ahead(NamedTuple):
    """A job that waits, with what is known of how long it will run."""

    id: str
    priority: int
    tenant: str
    expected_seconds: float | None
    progress: float


def waiting_in_order(session: Session, max_running: int | None, limit: int) -> list[Ahead]:
    """The queued jobs that a worker may take, the next one first; of each tenant and priority `limit` at most."""
    columns = (Job.id, Job.priority, Job.tenant, Job.expected_seconds, Job.progress)
    order = _queue_order(session, max_running)
    rows: dict[str, Ahead] = {}
    for priority, tenant in order.groups:
        of_group = (Job.state == JobState.QUEUED, Job.priority == priority, Job.tenant == tenant)
        found = session.execute(select(*columns).where(*of_group).order_by(Job.id).limit(limit))
        rows |= {row.id: Ahead(*row) for row in found}
    ordered = order.order((row.id, row.priority, row.tenant) for row in sorted(rows.values()))
    return [rows[job_id] for job_id in ordered]


def running_ends(session: Session) -> list[tuple[str | None, datetime | None]]:
    """Of all running jobs: the worker, and when the job is expected to end."""
    rows = session.execute(select(Job.worker_id, Job.expected_end).where(Job.state == JobState.RUNNING))
    return [(worker_id, end) for worker_id, end in rows]


def specs_that_succeeded(session: Session, dataset_id: str, limit: int) -> Sequence[dict[str, Any]]:
    """The specs of the youngest jobs on a data set that have succeeded."""
    of_dataset = (Job.dataset_id == dataset_id, Job.state == JobState.SUCCEEDED)
    return session.scalars(select(Job.spec).where(*of_dataset).order_by(Job.id.desc()).limit(limit)).all()


def held_jobs(session: Session) -> list[Held]:
    """Of all running jobs."""
    rows = session.execute(select(Job.id, Job.epoch, Job.hb_seq).where(Job.state == JobState.RUNNING))
    return [Held(*row) for row in rows]


def waiting_jobs(session: Session, max_running: int | None = None) -> Sequence[str]:
    """Ids of the queued jobs that a worker may take, the next one first; `max_running` as for `queue_positions`."""
    waiting = select(Job.id, Job.priority, Job.tenant).where(Job.state == JobState.QUEUED).order_by(Job.id)
    return _queue_order(session, max_running).order(
        (job_id, priority, tenant) for job_id, priority, tenant in session.execute(waiting)
    )


def kept_checkpoints(session: Session, failed_before: datetime) -> Sequence[Job]:
    """Ended jobs whose checkpoint nobody will ask for: of a failed one, which can be retried, until it is old."""
    too_old = and_(Job.state == JobState.FAILED, Job.finished_at < failed_before)
    needless = or_(Job.state.in_((JobState.SUCCEEDED, JobState.CANCELLED)), too_old)
    return session.scalars(select(Job).where(Job.checkpoint_key.is_not(None), needless)).all()


def is_kept_checkpoint(session: Session, key: str) -> bool:
    """Whether a job may yet go on from it."""
    return bool(session.scalar(select(exists().where(Job.checkpoint_key == key))))


def forget_checkpoint(session: Session, job_id: str, key: str) -> None:
    """Unless the job has another one meanwhile."""
    of_job = (Job.id == job_id, Job.checkpoint_key == key)
    session.execute(update(Job).where(*of_job).values(checkpoint_key=None, updated_at=Job.updated_at))


def get_preview(session: Session, job_id: str, student: str, name: str) -> JobPreview | None:
    return session.get(JobPreview, (job_id, student, name), populate_existing=True)


def list_previews(session: Session, job_id: str) -> Sequence[JobPreview]:
    return session.scalars(select(JobPreview).where(JobPreview.job_id == job_id)).all()


def leftover_previews(session: Session) -> Sequence[JobPreview]:
    """Of jobs that have ended."""
    ended = select(JobPreview).join(Job, Job.id == JobPreview.job_id)
    return session.scalars(ended.where(Job.state.in_(sorted(TERMINAL_JOB_STATES)))).all()


def delete_preview(session: Session, preview: JobPreview) -> None:
    """Unless it has been replaced meanwhile."""
    same = (JobPreview.job_id == preview.job_id, JobPreview.storage_key == preview.storage_key)
    session.execute(delete(JobPreview).where(*same))


def want_preview(session: Session, job_id: str, student: str) -> None:
    """Ask the worker for an ONNX file. To the user nothing of the job has changed."""
    is_running = (Job.id == job_id, Job.state == JobState.RUNNING)
    session.execute(update(Job).where(*is_running).values(preview_wanted=student, updated_at=Job.updated_at))


def list_events(session: Session, job_id: str, *, after: int, limit: int) -> Page[JobEvent]:
    """Oldest first, those behind number `after`."""
    rows = session.scalars(_EVENTS, {"id": job_id, "after": after, "limit": limit + 1}).all()
    return Page(rows[:limit], has_more=len(rows) > limit)


def last_event(session: Session, job_id: str) -> int | None:
    """The number of the job's latest event."""
    return session.scalar(_LAST_EVENT, {"id": job_id})


def list_metrics(session: Session, job_id: str, *, stage: Stage | None, from_step: int) -> Sequence[JobMetric]:
    """The pieces of the curves in the order they were written."""
    statement = select(JobMetric).where(JobMetric.job_id == job_id, JobMetric.last_step >= from_step)
    if stage is not None:
        statement = statement.where(JobMetric.stage == stage)
    return session.scalars(statement.order_by(JobMetric.seq)).all()


def list_metrics_after(session: Session, job_id: str, *, after: int, limit: int) -> Page[JobMetric]:
    """The pieces of the curves behind number `after`, in the order they were written."""
    statement = select(JobMetric).where(JobMetric.job_id == job_id, JobMetric.seq > after).order_by(JobMetric.seq)
    return page_of(session, statement, limit)


def last_metric(session: Session, job_id: str) -> int:
    """The number of the job's latest piece of the curves; 0 before the first."""
    return session.scalar(select(func.max(JobMetric.seq)).where(JobMetric.job_id == job_id)) or 0


def list_artifacts(session: Session, job_id: str) -> Sequence[Artifact]:
    return session.scalars(select(Artifact).where(Artifact.job_id == job_id).order_by(Artifact.name)).all()


def artifact_bytes(session: Session, tenant: str) -> int:
    """Of all published files of a tenant's jobs."""
    files = select(func.coalesce(func.sum(Artifact.bytes), 0)).join(Job, Job.id == Artifact.job_id)
    return session.scalar(files.where(Job.tenant == tenant)) or 0


def get_artifact(session: Session, job_id: str, name: str) -> Artifact | None:
    return session.scalar(select(Artifact).where(Artifact.job_id == job_id, Artifact.name == name))


def newest_file_about(session: Session, dataset_id: str, name: str) -> Artifact | None:
    """The published file called `name` of the youngest job on the data set that has one."""
    return session.scalars(
        select(Artifact)
        .join(Job, Job.id == Artifact.job_id)
        .where(Job.dataset_id == dataset_id, Artifact.name == name)
        .order_by(Job.id.desc())
        .limit(1)
    ).first()


def _has_pair(session: Session, key: str, value: str) -> ColumnElement[bool]:
    if session.get_bind().dialect.name == "postgresql":
        return cast(Job.user_metadata, JSONB).contains({key: value})
    # json_each and no JSON path: a path cannot hold every key
    pairs = func.json_each(Job.user_metadata).table_valued("key", "value")
    return exists(select(1).select_from(pairs).where(pairs.c.key == key, pairs.c.value == value))
