"""Queries about keys, tenants and the audit trail."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.orm import Session

from app.db.engine import insert
from app.db.ids import is_id
from app.db.models import ApiKey, AuditEntry, Tenant, WebSession
from app.db.queries.page import Page, page_of

_NOT_REVOKED = ApiKey.revoked_at.is_(None)

_TENANT = select(Tenant).where(Tenant.name == bindparam("name"))  # built once: every new job asks


def find_key(session: Session, sha256: str) -> ApiKey | None:
    """By the digest of the key itself, whosever it is; revoked or not."""
    return session.scalar(select(ApiKey).where(ApiKey.sha256 == sha256))


def get_key(session: Session, tenant: str, key_id: str) -> ApiKey | None:
    if not is_id(key_id, "key"):
        return None
    return session.scalar(select(ApiKey).where(ApiKey.id == key_id, ApiKey.tenant == tenant, _NOT_REVOKED))


def list_keys(session: Session, tenant: str, *, after: str | None, limit: int) -> Page[ApiKey]:
    statement = select(ApiKey).where(ApiKey.tenant == tenant, _NOT_REVOKED).order_by(ApiKey.id.desc())
    if after is not None:
        statement = statement.where(ApiKey.id < after)
    return page_of(session, statement, limit)


def list_audit(
    session: Session, tenant: str, *, object_id: str | None, after: str | None, limit: int
) -> Page[AuditEntry]:
    """Newest first; with `object_id`, what was done to this object alone."""
    statement = select(AuditEntry).where(AuditEntry.tenant == tenant).order_by(AuditEntry.id.desc())
    if object_id is not None:
        statement = statement.where(AuditEntry.object_id == object_id)
    if after is not None:
        statement = statement.where(AuditEntry.id < after)
    return page_of(session, statement, limit)


def ensure_tenant(session: Session, name: str) -> None:
    """Make the row if there is none."""
    values = {"name": name, "created_at": func.now()}
    session.execute(insert(session, Tenant).values(**values).on_conflict_do_nothing())


def get_tenant(session: Session, name: str) -> Tenant | None:
    return session.scalar(_TENANT, {"name": name})


def lock_tenant(session: Session, name: str) -> None:
    """Until the transaction ends nobody else counts what this tenant has."""
    ensure_tenant(session, name)
    session.execute(select(Tenant.name).where(Tenant.name == name).with_for_update())


def list_tenants(session: Session) -> Sequence[Tenant]:
    return session.scalars(select(Tenant).order_by(Tenant.name)).all()


def find_session(session: Session, sha256: str) -> WebSession | None:
    """By the digest of its secret; expired or not."""
    return session.scalar(select(WebSession).where(WebSession.sha256 == sha256))


def delete_session(session: Session, sha256: str) -> str | None:
    """Its id; None if there is none."""
    gone = delete(WebSession).where(WebSession.sha256 == sha256).returning(WebSession.id)
    return session.scalar(gone)


def delete_expired_sessions(session: Session, now: datetime) -> None:
    session.execute(delete(WebSession).where(WebSession.expires_at <= now))
