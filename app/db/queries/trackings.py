"""Queries about what is owed to trackers of experiments."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from app.db.models import Job, Tracking
from app.domain.tracking import TrackingState

_IS_PENDING = Tracking.state == TrackingState.PENDING


def of_jobs(session: Session, job_ids: Sequence[str]) -> Sequence[Tracking]:
    return session.scalars(select(Tracking).where(Tracking.job_id.in_(job_ids))).all()


def is_any_due(session: Session, now: datetime) -> bool:
    """Whether something waits to be logged; cheap, and takes no lock."""
    return bool(session.scalar(select(exists().where(_IS_PENDING, Tracking.next_attempt_at <= now))))


def next_due(session: Session, now: datetime) -> Tracking | None:
    """What has been due for longest. Locked; what another worker has locked is passed over."""
    due = select(Tracking).where(_IS_PENDING, Tracking.next_attempt_at <= now)
    return session.scalar(due.order_by(Tracking.next_attempt_at).limit(1).with_for_update(skip_locked=True))


def lock_job(session: Session, job_id: str) -> Job | None:
    """To be taken before the lock on one of its trackings, as its deletion does."""
    statement = select(Job).where(Job.id == job_id).with_for_update(key_share=True)
    return session.scalar(statement.execution_options(populate_existing=True))


def change(session: Session, job_id: str, target: str, epoch: int, values: dict[str, Any]) -> bool:
    """A change of the claim number `epoch`. False: it was claimed again, ended or deleted meanwhile."""
    own = (Tracking.job_id == job_id, Tracking.target == target, Tracking.epoch == epoch, _IS_PENDING)
    statement = update(Tracking).where(*own).values(values).returning(Tracking.job_id)
    return session.execute(statement, execution_options={"synchronize_session": False}).first() is not None
