"""Around every request: an id, one log line, its duration, and an answer to our own mistakes."""

import logging
import time

from prometheus_client import Histogram
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import unexpected
from app.db.ids import new_id
from app.log_context import bound
from app.storage.published import BrokenOff

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

logger = logging.getLogger(__name__)


class RequestContext:
    """Gives each request an id, says it in `X-Request-ID`, logs and times the request, and turns a crash into a
    problem."""

    def __init__(self, app: ASGIApp, seconds: Histogram) -> None:
        """`seconds` has the labels route, method and status."""
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = new_id("req")
        with bound(request_id=request_id):
            began, status = time.perf_counter(), 0

            async def send_with_id(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    MutableHeaders(scope=message)["X-Request-ID"] = request_id
                await send(message)

            try:
                await self.app(scope, receive, send_with_id)
            except BrokenOff as error:
                logger.error("broken off: %s", error)
                raise
            except ClientDisconnect:
                logger.info("the client went away")
            except Exception:
                logger.exception("unexpected error")
                if status:
                    raise  # the answer has begun: only breaking it off tells the client that it is incomplete
                await unexpected(Request(scope))(scope, receive, send_with_id)
            finally:
                self._tell(scope, status, time.perf_counter() - began)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"]
        fields = {"method": method, "path": scope["path"], "status": status, "milliseconds": round(seconds * 1000, 1)}
        logger.info("request", extra=fields)
        # templates and known methods only: what a client makes up must not become series without end
        route = getattr(scope.get("route"), "path", "none")
        self.seconds.labels(route, method if method in METHODS else "other", status).observe(seconds)
