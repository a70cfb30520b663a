"""From what a request carries to who it is: one indexed query for each key every few seconds."""

import hmac
import logging
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from cachetools import TTLCache
from pydantic import SecretStr
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from app.db.engine import Store
from app.db.models import ApiKey, utcnow
from app.db.queries import access as queries
from app.domain.access import OPERATOR_TENANT, Caller, Scope
from app.services.keys import digest

CACHE_SECONDS = 5.0
"""A revoked key opens nothing after this long at the latest, in whichever process."""
CACHED_KEYS = 10_000
USED_EVERY = timedelta(minutes=1)
"""`last_used_at` is written this often at most."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    expires_at: datetime | None


class Authenticator:
    """Knows the keys of one store. Used by many threads at once."""

    def __init__(self, store: Store, bootstrap_key: SecretStr | None) -> None:
        self._store = store
        self._bootstrap = None if bootstrap_key is None else bootstrap_key.get_secret_value().encode()
        self._cache: TTLCache[str, _Known] = TTLCache(CACHED_KEYS, CACHE_SECONDS)
        self._lock = threading.Lock()

    def find(self, secret: str) -> Caller | None:
        """Whose key it is; None if it is nobody's, was revoked or has expired.

        How long it takes tells nothing about the keys there are: the bootstrap key is compared in constant time, the
        others by their SHA-256, which a guess does not bring nearer.
        """
        if self._bootstrap is not None and hmac.compare_digest(secret.encode(), self._bootstrap):
            return Caller(OPERATOR_TENANT, "bootstrap")
        sha256 = digest(secret)
        with self._lock:
            known = self._cache.get(sha256)
        if known is None:
            known = self._look_up(sha256)  # an unknown key is not remembered: made-up ones would push out the real
        if known is None or (known.expires_at is not None and known.expires_at <= utcnow()):
            return None
        return known.caller

    def _look_up(self, sha256: str) -> _Known | None:
        with self._store.read() as session:
            key = queries.find_key(session, sha256)
        if key is None or key.revoked_at is not None or not hmac.compare_digest(key.sha256, sha256):
            return None
        known = _Known(Caller(key.tenant, key.id, frozenset(Scope(name) for name in key.scopes)), key.expires_at)
        with self._lock:
            self._cache[sha256] = known
        self._note_use(key)
        return known

    def _note_use(self, key: ApiKey) -> None:
        now = utcnow()
        if key.last_used_at is not None and now - key.last_used_at < USED_EVERY:
            return
        try:
            with self._store.write() as session:
                session.execute(update(ApiKey).where(ApiKey.id == key.id).values(last_used_at=now))
        except OperationalError as error:  # the request need not fail for that
            logger.warning("the use of key %s was not noted: %s", key.id, error.orig)
