"""Data sets, and the uploads that they are made of."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import DEFAULT_TENANT, Base, Id, Keyed, Leased, utcnow
from app.domain.states import DatasetState


class Dataset(Leased, Base):
    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), default=DEFAULT_TENANT)
    name: Mapped[str] = mapped_column(String(256))
    state: Mapped[DatasetState] = mapped_column(String(16), default=DatasetState.VALIDATING)
    bytes: Mapped[int]
    """Of the archive; 0 until the server that it is fetched from has said so, or all has come."""
    sha256: Mapped[str] = mapped_column(String(64))
    """Of the archive; empty until it has been fetched."""
    upload_key: Mapped[str | None] = mapped_column(String(256))
    """Storage key of the archive, which data sets with the same bytes share; None before it has been fetched, and once
    the import has read it."""
    source_url: Mapped[str | None] = mapped_column(Text())
    """The address that it is fetched from. As it was sent, secrets included, until the archive has come or the import
    has ended; then as it is shown (`app.domain.sources.shown_url`)."""
    prepared_key: Mapped[str | None] = mapped_column(String(256))
    """Storage key of `prepared.zip` (index.json and images), once ready; shared likewise where it holds the same."""
    digest: Mapped[str | None] = mapped_column(String(64))
    progress: Mapped[float] = mapped_column(default=0.0)
    """0..1 of the import."""
    summary: Mapped[dict[str, Any] | None]
    """What a list says of it: `images`, `class_count` and `counts` by split; None until it is ready."""
    options: Mapped[dict[str, Any] | None]
    """What its owner says about the archive (`ImportOptions`); None: nothing."""
    layout: Mapped[dict[str, Any] | None]
    """How the import has read the archive, or between which readings its owner has to choose (`Understanding`); None
    until then, and in data sets that an earlier version has imported."""
    answered_epoch: Mapped[int] = mapped_column(default=0, server_default="0")
    """The attempt that asked the question that was answered last: those before it were not lost."""
    report: Mapped[dict[str, Any] | None]
    """What the import found, with the first classes only: `DatasetClass` has all. Long, so read where it is wanted."""
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)

    __table_args__ = (
        Index(None, "tenant", "id"),
        Index(None, "state"),
        Index(None, "tenant", "sha256"),
        Index(None, "upload_key"),
        Index(None, "prepared_key"),
    )


class DatasetClass(Base):
    """One class of a data set that is ready. There may be thousands, so each is a row, read by the page."""

    __tablename__ = "dataset_classes"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Its place among the student's outputs, from 0."""
    name: Mapped[str] = mapped_column(String(256))
    train: Mapped[int]
    """Images, as `val` and `test`."""
    val: Mapped[int]
    test: Mapped[int]


class DatasetIdempotencyKey(Keyed, Base):
    """Of a data set."""

    __tablename__ = "dataset_idempotency_keys"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))

    @property
    def made(self) -> str:
        """The id of the data set."""
        return self.dataset_id


class PartialRow(Base):
    """A resumable upload. How much of it is there, its file alone knows (`app/storage/partial.py`)."""

    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    length: Mapped[int]
    """In bytes, once it is complete."""
    name: Mapped[str] = mapped_column(String(256))
    upload_metadata: Mapped[str]
    """The header Upload-Metadata, to be given back as it was sent."""
    dataset_id: Mapped[str | None] = mapped_column(Id)
    """The data set that was made of it; its file is gone then."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime]
    """Put off by every request that adds to it."""

    __table_args__ = (Index(None, "tenant", "id"), Index(None, "expires_at"))
