"""A rate limit per caller: a sliding window, counted in Redis for all processes where the broker is Redis."""

import logging
import math
import threading
import time
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.domain.errors import TooManyRequests
from app.settings import Settings

WINDOW_SECONDS = 60
REDIS_TIMEOUT_SECONDS = 0.25
"""Counting must not cost more than the request."""
AWAY_SECONDS = 5.0
"""When Redis did not answer, it is not asked again for this long."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left of a minute's requests."""

    limit: int
    remaining: int
    reset: int
    """Seconds until there is more."""

    @property
    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers has them."""
        return {
            "RateLimit-Policy": f'"default";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"default";r={self.remaining};t={self.reset}',
        }


class RateLimiter:
    """Counts the requests of each caller. Where Redis is away it lets them through: a limit protects the service, and
    must not be what takes it down."""

    def __init__(self, settings: Settings) -> None:
        per_minute = settings.requests_per_minute
        self._item = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._limiter = SlidingWindowCounterRateLimiter(_storage(settings.broker))
        self._away_until = -math.inf
        self._lock = threading.Lock()

    @property
    def counts(self) -> bool:
        return self._item is not None

    def spend(self, request: Request, who: str) -> None:
        """Count this request as one of `who`; `RateLimitHeaders` then tells what is left.

        Raises:
            TooManyRequests: if none was left.
        """
        if self._item is None or time.monotonic() < self._away_until:
            return
        try:
            allowed = self._limiter.hit(self._item, who)
            stats = self._limiter.get_window_stats(self._item, who)
        except StorageError as error:
            with self._lock:
                self._away_until = time.monotonic() + AWAY_SECONDS
            logger.warning("Redis is away; requests are not counted: %s", error.storage_error)
            return
        reset = max(1, math.ceil(stats.reset_time - time.time()))
        request.state.budget = Budget(self._item.amount, stats.remaining, reset)
        if not allowed:
            raise TooManyRequests(
                f"More than {self._item.amount:,} requests in one minute.",
                retry_after=reset,
                hint="Wait for the seconds in Retry-After, and poll less often.",
            )


class RateLimitHeaders:
    """Puts what is left of the budget on every answer to a request that was counted."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_budget(message: Message) -> None:
            budget = scope.get("state", {}).get("budget")
            if message["type"] == "http.response.start" and budget is not None:
                MutableHeaders(scope=message).update(budget.headers)
            await send(message)

        await self.app(scope, receive, send_with_budget)


def _storage(broker: str) -> MemoryStorage | RedisStorage:
    if not broker.startswith(("redis://", "rediss://")):
        return MemoryStorage()
    return RedisStorage(
        broker,
        key_prefix="tdmr-rate",
        wrap_exceptions=True,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
    )
