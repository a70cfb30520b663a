"""Sessions of browsers: a key is typed in once, and a cookie stands in for it until the key or the session ends."""

import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from cachetools import TTLCache
from pydantic import SecretStr
from sqlalchemy.orm import Session

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import WebSession, utcnow
from app.db.queries import access as queries
from app.domain.access import OPERATOR_TENANT, Caller, Scope
from app.services import audit
from app.services.authentication import CACHE_SECONDS, CACHED_KEYS
from app.services.keys import KEY_BYTES, digest

BOOTSTRAP = "bootstrap"


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    expires_at: datetime


class Sessions:
    """Knows the sessions of one store. Used by many threads at once."""

    def __init__(self, store: Store, bootstrap_key: SecretStr | None) -> None:
        self._store = store
        self._bootstrap_sha256 = None if bootstrap_key is None else digest(bootstrap_key.get_secret_value())
        self._cache: TTLCache[str, _Known] = TTLCache(CACHED_KEYS, CACHE_SECONDS)
        self._lock = threading.Lock()

    def find(self, secret: str) -> Caller | None:
        """Whose session it is; None if it has ended, or its key has."""
        sha256 = digest(secret)
        with self._lock:
            known = self._cache.get(sha256)
        if known is None:
            known = self._look_up(sha256)
        return None if known is None or known.expires_at <= utcnow() else known.caller

    def forget(self, secret: str) -> None:
        """In this process the session ends at once; in others within five seconds, as a revoked key does."""
        with self._lock:
            self._cache.pop(digest(secret), None)

    def _look_up(self, sha256: str) -> _Known | None:
        with self._store.read() as session:
            row = queries.find_session(session, sha256)
            known = None if row is None else self._known(session, row)
        if known is not None:
            with self._lock:
                self._cache[sha256] = known
        return known

    def _known(self, session: Session, row: WebSession) -> _Known | None:
        if row.actor == BOOTSTRAP:
            same = self._bootstrap_sha256 is not None and hmac.compare_digest(row.key_sha256, self._bootstrap_sha256)
            return _Known(Caller(OPERATOR_TENANT, BOOTSTRAP), row.expires_at) if same else None
        key = queries.find_key(session, row.key_sha256)
        if key is None or key.revoked_at is not None:
            return None
        ends = row.expires_at if key.expires_at is None else min(row.expires_at, key.expires_at)
        return _Known(Caller(key.tenant, key.id, frozenset(Scope(name) for name in key.scopes)), ends)


def begin(session: Session, caller: Caller, key: str, hours: float) -> str:
    """A new session of the caller whose key it is; gives the secret for the cookie, which is stored nowhere."""
    now = utcnow()
    queries.delete_expired_sessions(session, now)
    secret = secrets.token_urlsafe(KEY_BYTES)
    row = WebSession(
        id=new_id("ses"),
        sha256=digest(secret),
        key_sha256=digest(key),
        tenant=caller.tenant,
        actor=caller.actor,
        created_at=now,
        expires_at=now + timedelta(hours=hours),
    )
    session.add(row)
    session.flush()
    audit.record(session, caller, "sign_in", row.id)
    return secret


def end(session: Session, caller: Caller, secret: str) -> None:
    """Sign out."""
    session_id = queries.delete_session(session, digest(secret))
    if session_id is not None:
        audit.record(session, caller, "sign_out", session_id)


def csrf_token(secret: str) -> str:
    """What pages of this session send along with a change. It follows from the secret, which no page can read."""
    return hmac.new(secret.encode(), b"csrf", hashlib.sha256).hexdigest()


def is_csrf_token(secret: str, token: str) -> bool:
    return hmac.compare_digest(csrf_token(secret).encode(), token.encode())
