"""The table of uploads on their way in."""

from datetime import datetime

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models import Base, Id, utcnow


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
