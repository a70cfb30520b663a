"""The tables of who may do what, and who did."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base, Id, utcnow


class Tenant(Base):
    """Whose data sets and jobs they are, and its own quotas; None: what the settings say.

    A row is made with a tenant's first key or quota.
    """

    __tablename__ = "tenants"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    max_bytes: Mapped[int | None]
    max_queued: Mapped[int | None]
    max_running: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class ApiKey(Base):
    """A key that opens one tenant's part of the service. The key itself is known to its owner only."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.name"))
    name: Mapped[str] = mapped_column(String(256))
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    """Of the key. It has 256 random bits, so nothing slower than a plain hash is needed."""
    scopes: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    """To the minute: a write for each request would cost more than the request."""

    __table_args__ = (Index(None, "tenant", "id"),)


class WebSession(Base):
    """A browser that has signed in with an API key. It ends with that key, at its expiry, or when it signs out."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    """Of the secret in the browser's cookie."""
    key_sha256: Mapped[str] = mapped_column(String(64))
    """Of the key that was typed in: another TDMR_API_KEY ends the sessions of the one before."""
    tenant: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(Id)
    """Id of the key; `bootstrap` for TDMR_API_KEY."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime]

    __table_args__ = (Index(None, "expires_at"),)


class AuditEntry(Base):
    """Who changed what, and when. Written in the transaction of the change, so neither is there without the other."""

    __tablename__ = "audit"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    """In whose trail it stands: the actor's, and that of the tenant for which the operator acted."""
    actor: Mapped[str] = mapped_column(Id)
    """Id of the key; `bootstrap` for TDMR_API_KEY, `local` where no key is asked for, `cli` for the command line,
    `service` for what it does by itself."""
    action: Mapped[str] = mapped_column(String(64))
    """The operation's id in the OpenAPI document: `delete_dataset`."""
    object_id: Mapped[str | None] = mapped_column(Id)
    request_id: Mapped[str | None] = mapped_column(String(64))
    address: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (Index(None, "tenant", "id"), Index(None, "tenant", "object_id", "id"))
