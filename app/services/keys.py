"""API keys: created, shown once, revoked. The store keeps only a hash."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy.orm import Session

from app.db.ids import is_id, new_id
from app.db.models import ApiKey, utcnow
from app.db.queries import access as queries
from app.db.queries.page import Page
from app.domain.access import Caller, Scope
from app.domain.errors import Forbidden, NotFound
from app.services import audit

KEY_BYTES = 32


def create(
    session: Session,
    caller: Caller,
    tenant: str,
    *,
    name: str,
    scopes: Iterable[Scope],
    expires_in_days: int | None = None,
) -> tuple[ApiKey, str]:
    """A new key of `tenant`, which need not exist before, and the key itself: it cannot be had again."""
    queries.ensure_tenant(session, tenant)
    secret = f"tdmr_{secrets.token_urlsafe(KEY_BYTES)}"
    now = utcnow()
    key = ApiKey(
        id=new_id("key"),
        tenant=tenant,
        name=name,
        sha256=digest(secret),
        scopes=sorted(set(scopes)),
        created_at=now,
        expires_at=None if expires_in_days is None else now + timedelta(days=expires_in_days),
    )
    session.add(key)
    session.flush()
    audit.record(session, caller, "create_key", key.id, tenant=tenant)
    return key, secret


def find(session: Session, tenant: str, key_id: str) -> ApiKey:
    """
    Raises:
        NotFound: if there is none (any more), or it belongs to someone else.
    """
    key = queries.get_key(session, tenant, key_id)
    if key is None:
        raise NotFound("There is no such key.", hint="GET /v1/keys lists your keys.")
    return key


def page(session: Session, tenant: str, *, after: str | None, limit: int) -> Page[ApiKey]:
    """Newest first, expired ones too."""
    return queries.list_keys(session, tenant, after=after, limit=limit)


def revoke(session: Session, caller: Caller, tenant: str, key_id: str) -> None:
    """Revoke a key. Its row stays for the audit trail that names it.

    Raises:
        NotFound: as `find`.
    """
    find(session, tenant, key_id).revoked_at = utcnow()
    session.flush()
    audit.record(session, caller, "revoke_key", key_id, tenant=tenant)


def is_valid(session: Session, caller: Caller) -> bool:
    """Whether the key that let this caller in would do so now."""
    if not is_id(caller.actor, "key"):
        return True
    key = queries.get_key(session, caller.tenant, caller.actor)
    return key is not None and (key.expires_at is None or key.expires_at > utcnow())


def digest(secret: str) -> str:
    """What is stored of a key. It has 256 random bits, so one round of a plain hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def require_scope(caller: Caller, scope: Scope) -> None:
    """
    Raises:
        Forbidden: if the caller's key lacks it.
    """
    if scope not in caller.scopes:
        raise Forbidden(
            f"This request needs a key with the scope `{scope}`; yours has {', '.join(sorted(caller.scopes))}.",
            hint="Ask the administrator of your keys for one.",
        )


def tenant_for(caller: Caller, asked: str | None) -> str:
    """Whose keys and audit trail a caller means: its own tenant's, or any for the operator.

    Raises:
        Forbidden: for anyone else who names another tenant.
    """
    if asked is None or asked == caller.tenant:
        return caller.tenant
    if not caller.is_operator:
        raise Forbidden("Only the operator's keys may act for another tenant.", param="tenant")
    return asked
