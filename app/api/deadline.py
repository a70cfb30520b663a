"""An answer in time, whatever hangs."""

import asyncio
import logging
import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import RETRY_AFTER_SECONDS
from app.api.problems import problem_response
from app.domain.errors import StoreUnavailable

logger = logging.getLogger(__name__)


class Deadline:
    """Answers 503 where the application has not begun to answer in time: its thread may hang in a database or a storage
    that has stopped in the middle. Nothing can end such a thread, so it goes on, and what it would answer is dropped.

    Time that the client takes to send its request does not count. A request that carries a file is left alone, as is an
    answer that has begun: both take as long as their bytes do.
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
        ours_since: float | None = time.monotonic()
        """None while it is the client that is waited for."""
        overdue = False

        async def receive_unhurried() -> Message:
            nonlocal ours_since
            ours_since = None
            message = await receive()
            ours_since = time.monotonic()
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
                left = self.seconds - (0.0 if ours_since is None else time.monotonic() - ours_since)
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
            503,
            code=StoreUnavailable.code,
            title=StoreUnavailable.title,
            detail="A backing service did not answer in time.",
            hint="Try again in a few seconds; with the same Idempotency-Key nothing is done twice.",
            instance=scope["path"],
            headers={"Retry-After": RETRY_AFTER_SECONDS},
        )
        await answer(scope, receive, send)

    def _ended(self, work: "asyncio.Future[None]") -> None:
        self._late.discard(work)
        if not work.cancelled() and (error := work.exception()) is not None:
            logger.warning("a request that was answered with 503 ended with %r", error)


def _carries_file(scope: Scope) -> bool:
    media_type = Headers(scope=scope).get("content-type", "application/json").partition(";")[0].strip().lower()
    return media_type != "application/json" and not media_type.endswith("+json")
