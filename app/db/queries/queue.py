"""Queries about the queue: who waits, in which order, and who runs."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import and_, bindparam, func, select
from sqlalchemy.orm import Session, aliased

from app.db.engine import insert
from app.db.models import Job, QueueTurn, Tenant
from app.domain.fair_queue import Group, QueueOrder, QueuePosition
from app.domain.states import JobState

DOWNLOADS = -1000
"""The turns of downloads stand at a priority that no job has."""

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


def waiting_jobs(session: Session, max_running: int | None = None) -> Sequence[str]:
    """Ids of the queued jobs that a worker may take, the next one first; `max_running` as for `queue_positions`."""
    waiting = select(Job.id, Job.priority, Job.tenant).where(Job.state == JobState.QUEUED).order_by(Job.id)
    return _queue_order(session, max_running).order(
        (job_id, priority, tenant) for job_id, priority, tenant in session.execute(waiting)
    )


def take_turn(session: Session, priority: int, tenant: str) -> None:
    """Put the tenant behind all others. Whoever calls it holds what keeps two claims from getting one number."""
    turn = (session.scalar(select(func.max(QueueTurn.turn))) or 0) + 1
    row = insert(session, QueueTurn).values(priority=priority, tenant=tenant, turn=turn)
    session.execute(row.on_conflict_do_update(index_elements=["priority", "tenant"], set_={"turn": turn}))
