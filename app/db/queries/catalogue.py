"""Queries about workers and what they offer."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from app.db.models import CatalogRow, UtcDateTime, Worker

_IS_ANNOUNCED = exists().where(Worker.catalog_sha256 == CatalogRow.sha256)
_NOW = func.now(type_=UtcDateTime())
"""The database's clock: those of the hosts may differ."""
_ANNOUNCED = select(CatalogRow.sha256).where(_IS_ANNOUNCED).order_by(CatalogRow.sha256)  # built once: each new job asks


def get_worker(session: Session, hostname: str, queue: str, device: str) -> Worker | None:
    statement = select(Worker).where(Worker.hostname == hostname, Worker.queue == queue, Worker.device == device)
    return session.scalar(statement)


def set_seen(session: Session, worker_id: str) -> None:
    """The worker runs."""
    session.execute(update(Worker).where(Worker.id == worker_id).values(seen_at=_NOW))


def set_stopped(session: Session, worker_id: str) -> None:
    """The worker was told to stop."""
    session.execute(update(Worker).where(Worker.id == worker_id).values(stopped_at=_NOW))


def unstopped_workers(session: Session) -> list[tuple[Worker, timedelta]]:
    """Each worker that was not told to stop, with the time since its last sign of life."""
    rows = session.execute(select(Worker, _NOW).where(Worker.stopped_at.is_(None)).order_by(Worker.queue, Worker.id))
    return [(worker, now - worker.seen_at) for worker, now in rows]


class Trainer(NamedTuple):
    """A worker that trains."""

    worker: Worker
    silent: timedelta
    """Since its last sign of life."""
    now: datetime
    """The database's clock."""


def trainers(session: Session) -> list[Trainer]:
    """All workers that have announced models, those that were told to stop last."""
    rows = session.execute(select(Worker, _NOW).where(Worker.catalog_sha256.is_not(None)).order_by(Worker.id))
    found = [Trainer(worker, now - worker.seen_at, now) for worker, now in rows]
    return sorted(found, key=lambda trainer: trainer.worker.stopped_at is not None)


def announced_catalogs(session: Session) -> Sequence[str]:
    """The digest of each offer, whatever number of workers make it."""
    return session.scalars(_ANNOUNCED).all()


def touch(session: Session) -> None:
    """Read a table of ours: fails when the database is away or was never migrated."""
    session.execute(select(Worker.id).limit(1))
