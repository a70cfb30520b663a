"""API keys: made, shown once, revoked. What the store has of one opens nothing."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy.orm import Session

from app.db import access_queries as queries
from app.db.access_models import ApiKey
from app.db.ids import new_id
from app.db.models import utcnow
from app.db.queries import Page
from app.domain.access import Caller, Scope
from app.domain.errors import Forbidden, NotFound

KEY_BYTES = 32


def create(
    session: Session, tenant: str, *, name: str, scopes: Iterable[Scope], expires_in_days: int | None = None
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
    return key, secret


def find(session: Session, tenant: str, key_id: str) -> ApiKey:
    """
    Raises:
        NotFound: if there is none (any more), or it belongs to someone else.
    """
    key = queries.get_key(session, tenant, key_id)
    if key is None:
        raise NotFound("There is no such key.", hint="GET /v1/keys lists yours.")
    return key


def page(session: Session, tenant: str, *, after: str | None, limit: int) -> Page[ApiKey]:
    """Newest first, expired ones too."""
    return queries.list_keys(session, tenant, after=after, limit=limit)


def revoke(session: Session, tenant: str, key_id: str) -> None:
    """Let a key open nothing any more. Its row stays, for the audit trail that names it.

    Raises:
        NotFound: as `find`.
    """
    find(session, tenant, key_id).revoked_at = utcnow()
    session.flush()


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
            f"This needs a key with the scope `{scope}`; yours has {', '.join(sorted(caller.scopes))}.",
            hint="Ask whoever manages your keys for one.",
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
