"""Around every request: a bound on how large its body may be, and on how slowly it may come."""

import asyncio
import re
import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem_response
from app.domain.errors import MalformedRequest, TdmrError, TooLarge, UploadTooSlow


class BodyRefused(HTTPException):
    """A problem raised while FastAPI reads a body: it passes on nothing but an `HTTPException`."""

    def __init__(self, problem: TdmrError) -> None:
        assert problem.status is not None, "raised in a request"
        super().__init__(problem.status, problem.detail)
        self.problem = problem


class BodyLimit:
    """Refuses a body over its limit: by its Content-Length before a byte is read, else while it is being read.

    Refuses one that brings less than `least_rate` bytes a second over `window_seconds` of waiting for it. Where an
    answer leaves before the body has come, the connection is closed behind it: nobody will read the rest.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        default: int,
        by_path: Mapping[re.Pattern[str], int],
        least_rate: float,
        window_seconds: float,
    ) -> None:
        self.app = app
        self.default, self.by_path = default, by_path
        self.least_rate, self.window_seconds = least_rate, window_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "0")
        body = _Body(receive, self._limit(scope["path"]), self.least_rate, self.window_seconds)
        body.complete = declared == "0" and "transfer-encoding" not in headers

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                body.answered = True
                if not body.complete:
                    MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        if not declared.isascii() or not declared.isdigit():
            refused: TdmrError | None = MalformedRequest("Content-Length is not a number.", param="Content-Length")
        else:
            refused = _too_large(body.limit) if int(declared[:20]) > body.limit else None
        if refused is None:
            await self.app(scope, body.receive, send_and_close)
        else:
            await problem_response(refused, scope["path"])(scope, receive, send_and_close)

    def _limit(self, path: str) -> int:
        return next((limit for pattern, limit in self.by_path.items() if pattern.fullmatch(path)), self.default)


class _Body:
    """One body on its way."""

    def __init__(self, receive: Receive, limit: int, least_rate: float, window_seconds: float) -> None:
        self.limit = limit
        self.complete, self.answered = False, False
        self._receive = receive
        self._window_seconds, self._window_bytes = window_seconds, least_rate * window_seconds
        self._received = 0
        self._waited, self._came = 0.0, 0
        """Within the present window: seconds and bytes. What we do between two pieces is not the client's time."""

    async def receive(self) -> Message:
        while not self.complete:
            began, message = time.monotonic(), None
            try:
                async with asyncio.timeout(self._window_seconds - self._waited):
                    message = await self._receive()
            except TimeoutError:
                self._waited = self._window_seconds
            else:
                self._waited += time.monotonic() - began
                self._count(message)
            if self._waited >= self._window_seconds:
                if self._came < self._window_bytes and not self.answered:
                    raise BodyRefused(
                        UploadTooSlow(
                            f"Fewer than {self._window_bytes:,.0f} bytes arrived within {self._window_seconds:g} s.",
                            hint="POST /v1/uploads starts an upload that can resume after an interruption.",
                        )
                    )
                self._waited, self._came = 0.0, 0
            if message is not None:
                return message
        return await self._receive()  # the client's leave, for which one may wait for ever

    def _count(self, message: Message) -> None:
        size = len(message.get("body", b""))
        self._received += size
        self._came += size
        if self._received > self.limit:
            raise BodyRefused(_too_large(self.limit))
        self.complete = not message.get("more_body", False)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body may have at most {limit:,} bytes.")
