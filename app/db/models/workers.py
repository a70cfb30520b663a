"""Workers: what they offer, what they have measured, and what is counted of all of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base, Id, utcnow


class Worker(Base):
    """A worker that has announced itself."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    hostname: Mapped[str] = mapped_column(String(256))
    queue: Mapped[str] = mapped_column(String(32))
    device: Mapped[str] = mapped_column(String(64), default="cpu")
    catalog_sha256: Mapped[str | None] = mapped_column(ForeignKey("catalogs.sha256"))
    started_at: Mapped[datetime] = mapped_column(default=utcnow)
    seen_at: Mapped[datetime] = mapped_column(default=utcnow)
    """Its last sign of life, by the database's clock."""
    stopped_at: Mapped[datetime | None]
    """When it was told to stop; None while it runs, and of one that was lost."""
    machine: Mapped[str | None] = mapped_column(String(256))
    """Its kind of machine, under which `speeds` stand; None of a worker that trains nothing."""
    memory_bytes: Mapped[int | None]
    """What its machine or container has."""

    __table_args__ = (UniqueConstraint("hostname", "queue", "device"),)


class CatalogRow(Base):
    """An offer (app.domain.catalog.Catalog), stored once whatever number of workers make it."""

    __tablename__ = "catalogs"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    payload: Mapped[dict[str, Any]]
    published_at: Mapped[datetime] = mapped_column(default=utcnow)


class Speed(Base):
    """What one unit of work costs on a kind of machine, as its workers have measured it (app.domain.speeds)."""

    __tablename__ = "speeds"

    machine: Mapped[str] = mapped_column(String(256), primary_key=True)
    work: Mapped[str] = mapped_column(String(32), primary_key=True)
    subject: Mapped[str] = mapped_column(String(128), primary_key=True)
    size: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    how: Mapped[str] = mapped_column(String(64), primary_key=True)
    amounts: Mapped[list[Any]]
    """The latest few, the newest last."""
    of_jobs: Mapped[bool]
    """Whether jobs have told it, or only a measurement in idle time."""
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class Total(Base):
    """What is counted over all time and all processes, for `/metrics`."""

    __tablename__ = "totals"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    label: Mapped[str] = mapped_column(String(64), primary_key=True, default="")
    """Tells the parts of one total apart, a stage or a state; empty where there is one only."""
    value: Mapped[float]
