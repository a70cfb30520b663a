"""The tables of webhooks and of what is sent to them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base, Id, utcnow
from app.domain.webhooks import DeliveryState


class Webhook(Base):
    """An address that is told what happens to a tenant's jobs and data sets.

    The one without a URL, of which a tenant has one at most, stands for the `webhook_url` of all its jobs.
    """

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    url: Mapped[str | None] = mapped_column(String(2048))
    description: Mapped[str] = mapped_column(String(256), default="")
    event_types: Mapped[list[Any]]
    """Types, or `job.*` and `dataset.*`."""
    enabled: Mapped[bool] = mapped_column(default=True)
    disabled_reason: Mapped[str | None]
    """Of one that the service has disabled; None where its owner has."""
    failing_since: Mapped[datetime | None]
    """Its first failed attempt since the last one that succeeded."""
    secret: Mapped[str] = mapped_column(String(128))
    """As it is, since it is needed to sign; docs/access.md."""
    old_secret: Mapped[str | None] = mapped_column(String(128))
    """The one before the last rotation."""
    old_secret_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (
        Index(None, "tenant", "id"),
        Index(
            "ix_webhooks_default",
            "tenant",
            unique=True,
            postgresql_where=text("url IS NULL"),
            sqlite_where=text("url IS NULL"),
        ),
    )


_PENDING = text("state = 'pending'")


class WebhookDelivery(Base):
    """The outbox: one event for one receiver. Written in the transaction of the event, so neither is there without the
    other; a worker sends it."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    tenant: Mapped[str] = mapped_column(String(64))
    url: Mapped[str | None] = mapped_column(String(2048))
    """A job's `webhook_url`; None: the webhook's own, as it is when it is sent."""
    host: Mapped[str] = mapped_column(String(260))
    """Of the receiver, with its port: what does not answer holds up nobody else."""
    event_id: Mapped[str] = mapped_column(Id)
    """The same for all receivers of one event."""
    event_type: Mapped[str] = mapped_column(String(32))
    object_id: Mapped[str] = mapped_column(Id)
    """The job, data set or webhook that it is about."""
    body: Mapped[str]
    """As it is sent, each time."""
    state: Mapped[str] = mapped_column(String(16), default=DeliveryState.PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    """Since it was written, or sent anew on demand."""
    epoch: Mapped[int] = mapped_column(default=0)
    """How often a worker has claimed it: only the last one's word counts."""
    next_attempt_at: Mapped[datetime | None] = mapped_column(default=utcnow)
    """A claim puts it off by the longest that an attempt takes, so one that was lost comes due by itself."""
    status: Mapped[int | None]
    """HTTP status of the last answer."""
    error: Mapped[str | None]
    """Why the last attempt failed."""
    answer: Mapped[str | None]
    """The beginning of the last answer's body."""
    log: Mapped[list[Any]] = mapped_column(default=list)
    """The latest attempts, oldest first: `at`, `seconds`, `status`, `error`."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index(None, "webhook_id", "id"),
        Index("ix_webhook_deliveries_due", "next_attempt_at", postgresql_where=_PENDING, sqlite_where=_PENDING),
    )
