"""Every SELECT of the service. Lists are read by key, newest first: no offset, so a page costs the same anywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import ColumnElement, Select, and_, cast, exists, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, aliased

from app.db.ids import is_id
from app.db.models import Artifact, CatalogRow, Dataset, IdempotencyKey, Job, JobEvent, JobMetric, Worker
from app.domain.states import TERMINAL_JOB_STATES, JobState, Stage

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """One page of a list, and whether there are more behind it."""

    items: Sequence[Row]
    has_more: bool


def get_dataset(session: Session, tenant: str, dataset_id: str) -> Dataset | None:
    if not is_id(dataset_id, "ds"):
        return None
    return session.scalar(select(Dataset).where(Dataset.id == dataset_id, Dataset.tenant == tenant))


def lock_dataset(session: Session, tenant: str, dataset_id: str, *, exclusive: bool) -> Dataset | None:
    """As `get_dataset`, and until the transaction ends nobody deletes it (shared) or uses it (exclusive)."""
    if not is_id(dataset_id, "ds"):
        return None
    statement = select(Dataset).where(Dataset.id == dataset_id, Dataset.tenant == tenant)
    return session.scalar(statement.with_for_update(read=not exclusive))


def list_datasets(session: Session, tenant: str, *, after: str | None, limit: int) -> Page[Dataset]:
    statement = select(Dataset).where(Dataset.tenant == tenant).order_by(Dataset.id.desc())
    if after is not None:
        statement = statement.where(Dataset.id < after)
    return _page(session, statement, limit)


def dataset_in_use(session: Session, dataset_id: str) -> bool:
    """Whether a job that has not ended runs on it."""
    active = exists().where(Job.dataset_id == dataset_id, Job.state.not_in(TERMINAL_JOB_STATES))
    return bool(session.scalar(select(active)))


def get_job(session: Session, tenant: str, job_id: str) -> Job | None:
    if not is_id(job_id, "job"):
        return None
    return session.scalar(select(Job).where(Job.id == job_id, Job.tenant == tenant))


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
    statement = select(Job).where(Job.tenant == tenant).order_by(Job.id.desc())
    if after is not None:
        statement = statement.where(Job.id < after)
    if states:
        statement = statement.where(Job.state.in_(states))
    for key, value in (metadata or {}).items():
        statement = statement.where(_has_pair(session, key, value))
    return _page(session, statement, limit)


def queue_positions(session: Session, job_ids: Sequence[str]) -> dict[str, int]:
    """1 for the queued job that runs next; jobs that are not queued are left out. One query for a whole page."""
    ahead = aliased(Job)
    count = (
        select(func.count())
        .select_from(ahead)
        .where(
            ahead.state == JobState.QUEUED,
            or_(ahead.priority > Job.priority, and_(ahead.priority == Job.priority, ahead.id <= Job.id)),
        )
        .scalar_subquery()
    )
    rows = session.execute(select(Job.id, count).where(Job.id.in_(job_ids), Job.state == JobState.QUEUED))
    return {row[0]: row[1] for row in rows}


def next_queued_job(session: Session) -> str | None:
    """The id of the queued job that runs next: highest priority, then oldest."""
    statement = select(Job.id).where(Job.state == JobState.QUEUED).order_by(Job.priority.desc(), Job.id).limit(1)
    return session.scalar(statement)


def get_idempotency_key(session: Session, tenant: str, key: str) -> IdempotencyKey | None:
    return session.get(IdempotencyKey, (tenant, key), populate_existing=True)


def list_events(session: Session, job_id: str, *, after: int, limit: int) -> Page[JobEvent]:
    """Oldest first, those behind number `after`."""
    statement = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.seq > after).order_by(JobEvent.seq)
    return _page(session, statement, limit)


def list_metrics(session: Session, job_id: str, *, stage: Stage | None, from_step: int) -> Sequence[JobMetric]:
    """The pieces of the curves in the order they were written."""
    statement = select(JobMetric).where(JobMetric.job_id == job_id, JobMetric.last_step >= from_step)
    if stage is not None:
        statement = statement.where(JobMetric.stage == stage)
    return session.scalars(statement.order_by(JobMetric.seq)).all()


def list_artifacts(session: Session, job_id: str) -> Sequence[Artifact]:
    return session.scalars(select(Artifact).where(Artifact.job_id == job_id).order_by(Artifact.name)).all()


def get_artifact(session: Session, job_id: str, name: str) -> Artifact | None:
    return session.scalar(select(Artifact).where(Artifact.job_id == job_id, Artifact.name == name))


def get_worker(session: Session, hostname: str, queue: str, device: str) -> Worker | None:
    statement = select(Worker).where(Worker.hostname == hostname, Worker.queue == queue, Worker.device == device)
    return session.scalar(statement)


def announced_catalogs(session: Session) -> Sequence[CatalogRow]:
    """Each offer once, whatever number of workers make it."""
    announced = exists().where(Worker.catalog_sha256 == CatalogRow.sha256)
    return session.scalars(select(CatalogRow).where(announced).order_by(CatalogRow.sha256)).all()


def touch(session: Session) -> None:
    """Read a table of ours: fails when the database is away or was never migrated."""
    session.execute(select(Worker.id).limit(1))


def _page(session: Session, statement: Select[Row], limit: int) -> Page[Row]:
    rows = session.scalars(statement.limit(limit + 1)).all()
    return Page(rows[:limit], has_more=len(rows) > limit)


def _has_pair(session: Session, key: str, value: str) -> ColumnElement[bool]:
    if session.get_bind().dialect.name == "postgresql":
        return cast(Job.user_metadata, JSONB).contains({key: value})
    # json_each and no JSON path: a path cannot hold every key
    pairs = func.json_each(Job.user_metadata).table_valued("key", "value")
    return exists(select(1).select_from(pairs).where(pairs.c.key == key, pairs.c.value == value))
