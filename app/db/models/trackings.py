"""The table of what is owed to trackers of experiments."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base, utcnow
from app.domain.tracking import TrackingState, TrackingTarget

_PENDING = text("state = 'pending'")


class Tracking(Base):
    """One ended job for one tracker. Written in the transaction in which the job ends, so neither is there without the
    other; a worker logs it."""

    __tablename__ = "trackings"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    target: Mapped[TrackingTarget] = mapped_column(String(16), primary_key=True)
    state: Mapped[TrackingState] = mapped_column(String(16), default=TrackingState.PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    epoch: Mapped[int] = mapped_column(default=0)
    """How often a worker has claimed it: only the last one's word counts."""
    next_attempt_at: Mapped[datetime | None] = mapped_column(default=utcnow)
    """A worker that has claimed it puts it off again and again, so one that was lost comes due by itself."""
    url: Mapped[str | None]
    """Of the run's page; None until it has been logged."""
    error: Mapped[str | None]
    """Why the last attempt failed."""
    finished_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_trackings_due", "next_attempt_at", postgresql_where=_PENDING, sqlite_where=_PENDING),)
