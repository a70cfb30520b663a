"""HTTP/1.1 as uvicorn and httptools speak it, with bounds on what they leave unbounded: how large a head is and how
long it takes, how long a request lives, how many connections there are."""

import asyncio
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.api.problems import problem_response
from app.domain.errors import (
    CATALOGUE,
    HeadTooLarge,
    HeadTooSlow,
    MalformedRequest,
    TdmrError,
    TooManyConnections,
    UploadTooSlow,
)
from app.server.door import Door


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one request."""

    request_seconds: float
    """From its head to the last byte of its answer."""
    head_bytes: int = 32 * 1024
    """Request line and headers; a browser's take 1 kB, and a key or a name of ours never more."""
    head_seconds: float = 20.0
    """From its first byte, or from the start of the connection, until the head is complete."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection. It waits for a head, then a request is under way, then it waits again."""

    def __init__(self, door: Door, bounds: Bounds, **given: Any) -> None:
        super().__init__(**given)
        self.address = ""
        self._door, self._bounds = door, bounds
        self._timer: asyncio.TimerHandle | None = None
        """Ends the head or the request that is under way; None between two requests."""
        self._unread = 0
        """Bytes that have come since a head, or a piece of a body, was complete: what the parser has to keep."""
        self._head_bytes = 0
        """Of the names and values of the present head, and of trailers."""
        self._refusal: TdmrError | None = None
        """Why the parser was stopped."""
        self._cycles: deque[RequestResponseCycle] = deque()
        """Requests without a complete answer, the one that is answered first; one alone unless the client pipelines."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        if self._door.enter(self):
            self._expect_head()
        else:
            hint = "Close connections that you do not use, and try again."
            self._answer(TooManyConnections(TooManyConnections.example, hint=hint))

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._door.leave(self)
        for cycle in self._cycles:  # uvicorn tells the last one only, and another would go on writing
            cycle.disconnected = True
        super().connection_lost(exc)

    def give_way(self) -> None:
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._timer is None:
            self._expect_head()
        self._unread += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # to nothing that is spoken here: it is answered as if it had not asked
        except httptools.HttpParserError:
            self._refuse(self._refusal or MalformedRequest("This is not HTTP/1.1."))
        else:
            if self._unread > self._bounds.head_bytes:
                self._refuse(self._too_large())

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + len(": \r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._unread = 0
        self._arm(self._bounds.request_seconds, self._request_outlived)
        self._door.work(self)
        super().on_headers_complete()
        self._cycles.append(self.cycle)

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        self._cycles.popleft()
        super().on_response_complete()
        if self._cycles:
            return  # another request came behind this one, and the timer is already its own
        if not self.transport.is_closing():  # else it goes on, for what the client has still to read
            self._disarm()
        self._door.wait(self)

    def pause_writing(self) -> None:
        self._door.wait(self)
        super().pause_writing()

    def resume_writing(self) -> None:
        if self._cycles:
            self._door.work(self)
        super().resume_writing()

    def _expect_head(self) -> None:
        self._arm(self._bounds.head_seconds, self._head_late)
        self._door.wait(self)

    def _arm(self, seconds: float, overdue: Any) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, overdue)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._bounds.head_bytes:
            self._refusal = self._too_large()
            raise self._refusal  # stops the parser

    def _too_large(self) -> HeadTooLarge:
        most = f"{self._bounds.head_bytes:,} bytes"
        return HeadTooLarge(f"Request line and headers may have at most {most}.", hint="Send data in the body.")

    def _head_late(self) -> None:
        if self._unread:
            self._refuse(HeadTooSlow(f"The request's head was not complete after {self._bounds.head_seconds:g} s."))
        else:
            self._door.tell("idle", f"A connection of {self.address} that sent nothing was closed")
            self.transport.close()  # without a word: a browser opens connections that it may not need

    def _request_outlived(self) -> None:
        late = f"The request was not over after {self._bounds.request_seconds:g} s."
        self._refuse(
            UploadTooSlow(late, hint="POST /v1/uploads starts an upload that can resume after an interruption.")
        )

    def _refuse(self, problem: TdmrError) -> None:
        """Answer with it, where the client would take that for the answer to what it sends, and close."""
        if self.transport.is_closing():
            return
        self._door.tell(problem.code, f"A request of {self.address} was refused: {problem.detail}")
        self._disarm()
        if self._answers_another():
            self.transport.abort()  # closing would first send what the client does not read, as if it were complete
        else:
            self._answer(problem)

    def _answer(self, problem: TdmrError) -> None:
        self.transport.write(_written(problem.code, problem.detail, problem.hint))
        self.transport.close()

    def _answers_another(self) -> bool:
        """Whether an answer has begun, or a request has come completely that is to be answered first."""
        if not self._cycles:
            return False
        first = self._cycles[0]
        return len(self._cycles) > 1 or first.response_started or not first.more_body


@lru_cache(maxsize=16)
def _written(code: str, detail: str, hint: str | None) -> bytes:
    """A whole answer. Made once: a thousand connections that are refused at one moment hold up nobody else."""
    answer = problem_response(CATALOGUE[code](detail, hint=hint), None, headers={"Connection": "close"})
    status = HTTPStatus(answer.status_code)
    head = [f"HTTP/1.1 {status} {status.phrase}".encode(), *(b": ".join(header) for header in answer.raw_headers)]
    return b"\r\n".join([*head, b"", bytes(answer.body)])
