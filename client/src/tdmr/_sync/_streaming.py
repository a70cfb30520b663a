# Generated from _async by client/tools; not to be edited.
"""Live streams that go on where they were cut."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2

from tdmr._logging import logger
from tdmr._retry import Patience, retry_after
from tdmr._sse import Frame, Frames
from tdmr._sync import _io
from tdmr._sync._transport import Transport
from tdmr.errors import ConnectionFailed, TdmrError, from_response

_WORTH_WAITING = frozenset({429, 500, 502, 503, 504})
_SILENT_SECONDS = 60.0
"""The service sends a comment every 15 seconds; a connection without any is dead."""


def stream(transport: Transport, path: str, last_id: str | None) -> Iterator[Frame]:
    """Every frame once, up to the one called `end`, over as many connections as it takes.

    Raises:
        TdmrError: the service refuses it, or has been away for too long.
    """
    patience = Patience(transport.patience)
    while True:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        failure: TdmrError = ConnectionFailed("The stream was closed before its end.")
        asked = None
        try:
            with transport.stream(path, headers=headers, timeout=_SILENT_SECONDS) as response:
                if not response.is_success:
                    failure, asked = from_response(response), retry_after(response)
                    if response.status_code not in _WORTH_WAITING:
                        raise failure
                else:
                    frames = Frames()
                    for piece in response.iter_bytes():
                        patience.moved()
                        for frame in frames.feed(piece):
                            last_id = frame.id or last_id
                            yield frame
                            if frame.event == "end":
                                return
        except httpx2.TransportError as error:
            failure = transport.away(error)
        logger.info("the stream %s was interrupted: %s", path, failure)
        wait = patience.wait(asked)
        if wait is None:
            raise failure
        _io.sleep(wait)
