"""Around every request: an id, one log line, a bound on the body, and an answer to our own mistakes."""

import logging
import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import unexpected
from app.api.problems import problem_response
from app.db.ids import new_id
from app.request_id import reset_request_id, set_request_id

logger = logging.getLogger(__name__)


class RequestContext:
    """Gives each request an id, says it in `X-Request-ID`, logs the request, and turns a crash into a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = new_id("req")
        token = set_request_id(request_id)
        began, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            logger.info("the client went away")
        except Exception:
            logger.exception("unexpected error")
            if status:
                raise  # the answer has begun: only breaking it off tells the client that it is incomplete
            await unexpected(Request(scope))(scope, receive, send_with_id)
        finally:
            milliseconds = round((time.perf_counter() - began) * 1000, 1)
            fields = {"method": scope["method"], "path": scope["path"], "status": status, "milliseconds": milliseconds}
            logger.info("request", extra=fields)
            reset_request_id(token)


class BodyLimit:
    """Refuses a body over its limit: by its Content-Length before a byte is read, else while it is being read."""

    def __init__(self, app: ASGIApp, default: int, by_path: Mapping[str, int]) -> None:
        self.app = app
        self.default = default
        self.by_path = by_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.by_path.get(scope["path"], self.default)
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isascii() or not declared.isdigit():
            answer = problem_response(
                400,
                code="malformed_request",
                title="The request cannot be read",
                detail="Content-Length is not a number.",
                instance=scope["path"],
            )
            await answer(scope, receive, send)
            return
        if int(declared[:20]) > limit:
            answer = problem_response(
                413,
                code="too_large",
                title="The body is too large",
                detail=_too_large(limit),
                instance=scope["path"],
            )
            await answer(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, _too_large(limit))
            return message

        await self.app(scope, counted, send)


def _too_large(limit: int) -> str:
    return f"The body may have at most {limit:,} bytes."
