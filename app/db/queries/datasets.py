"""Queries about data sets, and about the blobs that they share."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import bindparam, exists, func, or_, select
from sqlalchemy.orm import Session, defer

from app.db.ids import is_id
from app.db.models import Dataset, DatasetClass, Job, QueueTurn, whole_sum
from app.db.queries.jobs import Held, Stamp
from app.db.queries.page import Page, page_of
from app.db.queries.queue import DOWNLOADS
from app.domain.address_tables import TABLE
from app.domain.import_queue import WaitingImport, order_imports
from app.domain.states import TERMINAL_JOB_STATES, DatasetState

_IS_DOWNLOAD = or_(Dataset.upload_key.is_(None), Dataset.upload_key.endswith(TABLE))
"""Of a data set whose import has not ended: the archive, or a table's images, are still to be fetched."""
_CLAIMING = 2304_02265
"""The advisory lock of those who choose an import."""

# built once: building a statement takes as long as sending it
_DATASET = (
    select(Dataset)
    .where(Dataset.id == bindparam("id"), Dataset.tenant == bindparam("tenant"))
    .options(defer(Dataset.report))
)
_LOCKED_DATASET = {exclusive: _DATASET.with_for_update(read=not exclusive) for exclusive in (True, False)}


def get_dataset(session: Session, tenant: str, dataset_id: str) -> Dataset | None:
    """Its report, which may be long, is read when it is asked for."""
    if not is_id(dataset_id, "ds"):
        return None
    return session.scalar(_DATASET, {"id": dataset_id, "tenant": tenant})


def lock_dataset(session: Session, tenant: str, dataset_id: str, *, exclusive: bool) -> Dataset | None:
    """As `get_dataset`, and until the transaction ends nobody deletes it (shared) or uses it (exclusive)."""
    if not is_id(dataset_id, "ds"):
        return None
    return session.scalar(_LOCKED_DATASET[exclusive], {"id": dataset_id, "tenant": tenant})


def list_datasets(session: Session, tenant: str, *, after: str | None, limit: int) -> Page[Dataset]:
    """As `get_dataset`, without the reports."""
    statement = select(Dataset).where(Dataset.tenant == tenant).order_by(Dataset.id.desc())
    statement = statement.options(defer(Dataset.report), defer(Dataset.layout))
    if after is not None:
        statement = statement.where(Dataset.id < after)
    return page_of(session, statement, limit)


def dataset_names(session: Session, tenant: str, dataset_ids: Iterable[str]) -> dict[str, str]:
    """By id, of those that (still) exist."""
    asked = (Dataset.tenant == tenant, Dataset.id.in_(set(dataset_ids)))
    rows = session.execute(select(Dataset.id, Dataset.name).where(*asked))
    return {row.id: row.name for row in rows}


def list_in_state(session: Session, tenant: str, state: DatasetState, limit: int) -> Sequence[Dataset]:
    """Newest first."""
    statement = select(Dataset).where(Dataset.tenant == tenant, Dataset.state == state).options(defer(Dataset.report))
    return session.scalars(statement.order_by(Dataset.id.desc()).limit(limit)).all()


def stamps(session: Session, dataset_ids: Sequence[str]) -> list[Stamp]:
    """Of those that exist, whosever they are."""
    columns = (Dataset.id, Dataset.state, Dataset.epoch, Dataset.updated_at)
    return [Stamp(*row) for row in session.execute(select(*columns).where(Dataset.id.in_(dataset_ids)))]


def list_classes(session: Session, dataset_id: str, *, after: int | None, limit: int) -> Page[DatasetClass]:
    """In the order of the student's outputs, those behind number `after`."""
    statement = select(DatasetClass).where(DatasetClass.dataset_id == dataset_id).order_by(DatasetClass.number)
    if after is not None:
        statement = statement.where(DatasetClass.number > after)
    return page_of(session, statement, limit)


def class_names(session: Session, dataset_id: str, limit: int) -> list[str]:
    """The first classes' names, in the order of the student's outputs."""
    statement = select(DatasetClass.name).where(DatasetClass.dataset_id == dataset_id).order_by(DatasetClass.number)
    return list(session.scalars(statement.limit(limit)))


def dataset_in_use(session: Session, dataset_id: str) -> bool:
    """Whether a job that has not ended runs on it."""
    active = exists().where(Job.dataset_id == dataset_id, Job.state.not_in(TERMINAL_JOB_STATES))
    return bool(session.scalar(select(active)))


def dataset_bytes(session: Session, tenant: str) -> int:
    """Of a tenant's archives as they were uploaded; a rejected one is not kept."""
    kept = (Dataset.tenant == tenant, Dataset.state != DatasetState.REJECTED)
    return session.scalar(select(whole_sum(Dataset.bytes)).where(*kept)) or 0


def held_datasets(session: Session) -> list[Held]:
    """Of all imports that a worker has taken."""
    held = (Dataset.state == DatasetState.VALIDATING, Dataset.worker_id.is_not(None))
    rows = session.execute(select(Dataset.id, Dataset.epoch, Dataset.hb_seq).where(*held))
    return [Held(*row) for row in rows]


def waiting_imports(session: Session, most_downloads: int) -> list[WaitingImport]:
    """The imports that a worker may take, the next one first; `most_downloads` of one tenant at a time, 0: any
    number."""
    imports = select(Dataset.id, Dataset.tenant, _IS_DOWNLOAD).order_by(Dataset.id)
    waits = (Dataset.state == DatasetState.VALIDATING, Dataset.worker_id.is_(None))
    waiting = [WaitingImport(*row) for row in session.execute(imports.where(*waits))]
    downloads = {one.tenant for one in waiting if one.is_download}
    if not downloads:
        return waiting
    held = (Dataset.state == DatasetState.VALIDATING, Dataset.worker_id.is_not(None), _IS_DOWNLOAD)
    counted = session.execute(select(Dataset.tenant, func.count()).where(*held).group_by(Dataset.tenant))
    had_turn = (QueueTurn.priority == DOWNLOADS, QueueTurn.tenant.in_(downloads))
    had = session.execute(select(QueueTurn.tenant, QueueTurn.turn).where(*had_turn))
    running, turns = {row[0]: row[1] for row in counted}, {row[0]: row[1] for row in had}
    return order_imports(waiting, running, turns, most_downloads)


def claimable_imports(session: Session, most_downloads: int) -> list[WaitingImport]:
    """As `waiting_imports`. Until the transaction ends nobody else asks: two workers at once would both take a tenant's
    last place."""
    if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        session.execute(select(func.pg_advisory_xact_lock(_CLAIMING)))
    return waiting_imports(session, most_downloads)


def unanswered_datasets(session: Session, asked_before: datetime) -> Sequence[str]:
    """Ids of the data sets whose owner was asked before that time and has not answered."""
    waits = (Dataset.state == DatasetState.NEEDS_ANSWER, Dataset.updated_at < asked_before)
    return session.scalars(select(Dataset.id).where(*waits).order_by(Dataset.id)).all()


def lock_unanswered(session: Session, dataset_id: str, asked_before: datetime) -> Dataset | None:
    """One of these, locked; None if it has been answered or deleted meanwhile."""
    waits = (Dataset.state == DatasetState.NEEDS_ANSWER, Dataset.updated_at < asked_before)
    return session.scalar(select(Dataset).where(Dataset.id == dataset_id, *waits).with_for_update())


def same_archive(session: Session, tenant: str, sha256: str) -> str | None:
    """The storage key of an archive with these bytes. Its data set is locked: until this transaction has ended it
    neither goes nor lets go of the archive, so a new row may name it too."""
    same = (Dataset.tenant == tenant, Dataset.sha256 == sha256, Dataset.upload_key.is_not(None))
    return session.scalar(select(Dataset.upload_key).where(*same).limit(1).with_for_update(read=True))


def same_prepared(session: Session, dataset: Dataset) -> str | None:
    """As `same_archive`, for what an import has made of the same archive with the same outcome."""
    same = (
        Dataset.tenant == dataset.tenant,
        Dataset.sha256 == dataset.sha256,
        Dataset.digest == dataset.digest,
        Dataset.state == DatasetState.READY,
        Dataset.prepared_key.is_not(None),
        Dataset.id != dataset.id,
    )
    return session.scalar(select(Dataset.prepared_key).where(*same).limit(1).with_for_update(read=True))


def named_keys(session: Session, keys: Iterable[str]) -> set[str]:
    """Those of the storage keys that some data set names."""
    asked = set(keys)
    names = or_(Dataset.upload_key.in_(asked), Dataset.prepared_key.in_(asked))
    rows = session.execute(select(Dataset.upload_key, Dataset.prepared_key).where(names))
    return {key for row in rows for key in row if key is not None} & asked
