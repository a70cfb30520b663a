"""A time limit on every answer."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem_response
from app.domain.errors import StoreUnavailable

_CLOCK = "deadline_clock"
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})

logger = logging.getLogger(__name__)


class Deadline:
    """Answers 503 where the application has not begun to answer in time: its thread may hang in a database or a storage
    that has stopped in the middle. Nothing can end such a thread, so it goes on, and what it would answer is dropped.

    Time that the client takes to send its request, or asks us to wait, does not count. A request that carries a file is
    left alone, as is an answer that has begun: both take as long as their bytes do.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds
        self._late: set[asyncio.Future[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _carries_file(scope):
            await self.app(scope, receive, send)
            return
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        clock = scope.setdefault("state", {})[_CLOCK] = _Clock()
        overdue = False
        whole = scope["method"] in _WITHOUT_BODY

        async def receive_unhurried() -> Message:
            nonlocal whole
            if whole:  # what may come now is the client's leave, for which nothing waits
                return await receive()
            with clock.stopped():
                message = await receive()
            whole = not message.get("more_body", False)
            return message

        async def send_in_time(message: Message) -> None:
            if overdue:
                return
            if not begun.done():
                begun.set_result(None)
            await send(message)

        work = asyncio.ensure_future(self.app(scope, receive_unhurried, send_in_time))
        try:
            left = self.seconds
            while left > 0 and not (work.done() or begun.done()):
                await asyncio.wait([work, begun], timeout=left, return_when=asyncio.FIRST_COMPLETED)
                left = self.seconds - clock.seconds
            if work.done() or begun.done():
                await work
                return
            overdue = True
        except asyncio.CancelledError:
            work.cancel()
            raise
        self._late.add(work)  # the loop itself would forget it
        work.add_done_callback(self._ended)
        logger.warning("no answer within %g s", self.seconds)
        answer = problem_response(
            StoreUnavailable(
                "A backing service did not answer in time.",
                hint="Try again in a few seconds; with the same Idempotency-Key nothing is done twice.",
            ),
            scope["path"],
        )
        await answer(scope, receive, send)

    def _ended(self, work: "asyncio.Future[None]") -> None:
        self._late.discard(work)
        if not work.cancelled() and (error := work.exception()) is not None:
            logger.warning("a request that was answered with 503 ended with %r", error)


class _Clock:
    """How long we have been at it since it was last somebody else's turn."""

    def __init__(self) -> None:
        self._since: float | None = time.monotonic()

    @property
    def seconds(self) -> float:
        return 0.0 if self._since is None else time.monotonic() - self._since

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self._since = None
        try:
            yield
        finally:
            self._since = time.monotonic()


def waiting_as_asked(scope: Scope) -> AbstractContextManager[None]:
    """For the block of a request that waits because its client wants it to: that time does not count."""
    clock: _Clock | None = scope["state"].get(_CLOCK)
    return nullcontext() if clock is None else clock.stopped()


def _carries_file(scope: Scope) -> bool:
    media_type = Headers(scope=scope).get("content-type", "application/json").partition(";")[0].strip().lower()
    return media_type != "application/json" and not media_type.endswith("+json")
