"""When a request is repeated, and how long is waited before."""

from __future__ import annotations

import email.utils
import random
import time
from dataclasses import dataclass

import httpx2

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_FIRST, _MOST = 0.5, 20.0
_LONGEST_RETRY_AFTER = 120.0
_NOTHING_DONE = frozenset({429, 503})
"""Statuses by which a service says that it has not begun."""
_MAY_BE_DONE = frozenset({500, 502, 504})
_BUSY_CODES = frozenset({"idempotency_key_in_flight", "upload_locked"})
_LASTING_CODES = frozenset({"queue_quota_exceeded"})
"""Not over in a while: only the user can do something about it."""


@dataclass(frozen=True)
class Retries:
    """How often a request is repeated."""

    most: int = 8
    """Repetitions of one request: about a minute, within which a service that is restarted comes back."""
    unreached: int = 2
    """Of a service that has not answered this client once. It is more likely not there than away for a moment."""


def wait_after_error(error: httpx2.TransportError, attempt: int, *, repeatable: bool) -> float | None:
    """Seconds to wait before the next attempt, None to give up.

    Args:
        attempt: how many failed before this one.
        repeatable: the request does no harm twice.
    """
    never_sent = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
    return backoff(attempt) if repeatable or never_sent else None


def wait_after_answer(response: httpx2.Response, code: str | None, attempt: int, *, repeatable: bool) -> float | None:
    """As `wait_after_error`, for an answer that is an error; its body may have told a `code`."""
    if code in _LASTING_CODES:
        return None
    again = (
        response.status_code in _NOTHING_DONE
        or code in _BUSY_CODES
        or (repeatable and response.status_code in _MAY_BE_DONE)
    )
    if not again:
        return None
    asked = retry_after(response)
    if asked is not None and asked > _LONGEST_RETRY_AFTER:
        return None
    return max(backoff(attempt), (asked or 0.0) * random.uniform(1.0, 1.1))  # noqa: S311 (no secret)


def retry_after(response: httpx2.Response) -> float | None:
    """Seconds, from a number or a date."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def backoff(attempt: int) -> float:
    """Twice as long each time, less up to a half at random, so that clients do not come back together."""
    longest: float = min(_MOST, _FIRST * 2**attempt)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)


@dataclass
class Patience:
    """For what takes long and goes on after a failure: given up once nothing has moved for so long."""

    seconds: float
    _since: float = 0.0
    _failures: int = 0

    def __post_init__(self) -> None:
        self.moved()

    def moved(self) -> None:
        self._since, self._failures = time.monotonic(), 0

    def wait(self, asked: float | None = None) -> float | None:
        """Seconds to wait after another failure; None once it is enough."""
        wait = max(backoff(self._failures), asked or 0.0)
        self._failures += 1
        return None if time.monotonic() + wait - self._since > self.seconds else wait
