# Generated from _async by client/tools; not to be edited.
"""Resumable uploads with tus."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx2

from tdmr._logging import logger
from tdmr._retry import Patience, retry_after
from tdmr._sources import Source
from tdmr._sync import _io
from tdmr._sync._transport import Transport
from tdmr._uploads import OFFSET_TYPE, PIECE_BYTES, TUS, Memory, metadata
from tdmr.errors import APIError, TdmrError, from_response
from tdmr.progress import Display, Rate

_LOST = frozenset({404, 410})
_WORTH_WAITING = frozenset({408, 423, 429, 500, 502, 503, 504})


def upload(transport: Transport, source: Source, display: Display) -> tuple[str, Memory]:
    """Send what the service does not have of it yet. A lost connection, a restarted service and another process all go
    on where the one before was stopped.

    Returns:
        The upload's id, and the memory to forget once a data set was made of it.

    Raises:
        TdmrError: the service refuses it, or has been away for too long.
    """
    memory = Memory.of(transport.config, source)
    upload_id = _io.in_thread(memory.recall)
    offset = None if upload_id is None else _offset(transport, upload_id)
    if upload_id is None or offset is None:
        upload_id, offset = _create(transport, source), 0
        _io.in_thread(memory.note, upload_id)
    elif offset:
        logger.info("the upload of %s goes on at byte %d of %d", source.name, offset, source.size)
    _send(transport, source, upload_id, offset, display)
    return upload_id, memory


def _create(transport: Transport, source: Source) -> str:
    headers = {**TUS, "Upload-Length": str(source.size), "Upload-Metadata": metadata(source.name)}
    # an upload that nobody sends anything to expires by itself, so a second one does no harm
    response = transport.request("POST", "/v1/uploads", headers=headers, repeatable=True)
    return str(response.headers["Location"]).rstrip("/").rpartition("/")[2]


def _offset(transport: Transport, upload_id: str) -> int | None:
    """How much the service has; None if it knows nothing of the upload."""
    try:
        response = transport.request("HEAD", f"/v1/uploads/{upload_id}", headers=TUS)
    except APIError as error:
        if error.status in _LOST:
            return None
        raise
    return int(response.headers["Upload-Offset"])


def _send(transport: Transport, source: Source, upload_id: str, offset: int, display: Display) -> None:
    rate, patience, label = Rate(offset, source.size), Patience(transport.patience), f"Uploading {source.name}"

    def moved(now: int) -> None:
        patience.moved()
        display.show(label, now / max(1, source.size), rate.detail(now))

    display.show(label, offset / max(1, source.size), rate.detail(offset))
    reader = _Reader(source)
    while offset < source.size:
        failure = _piece(transport, reader, upload_id, offset, moved)
        if failure is None:
            offset = reader.offset
            continue
        logger.info("the upload of %s was interrupted: %s", source.name, failure)
        offset = _known_offset(transport, upload_id, patience, failure)


class _Reader:
    """Reads on where it is; from the start of the source only where it has to go back."""

    def __init__(self, source: Source) -> None:
        self._source, self.size = source, source.size
        self._pieces: Iterator[bytes] = iter(())
        self._rest = b""
        self.offset = -1
        """Of the byte that comes next."""

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        if offset != self.offset:
            self._pieces, self._rest, self.offset = self._source.read(offset), b"", offset
        end = min(offset + length, self.size)
        while self.offset < end:
            piece = self._rest or next(self._pieces)
            piece, self._rest = piece[: end - self.offset], piece[end - self.offset :]
            self.offset += len(piece)
            yield piece


def _piece(
    transport: Transport, reader: _Reader, upload_id: str, offset: int, moved: Callable[[int], None]
) -> TdmrError | None:
    """Send the piece that begins at `offset`. Returns what hindered it, where trying again may help.

    Raises:
        TdmrError: trying again would not help.
    """
    length = min(PIECE_BYTES, reader.size - offset)

    def body() -> Iterator[bytes]:
        for piece in _io.pieces(reader.read(offset, length)):
            yield piece
            moved(reader.offset)

    headers = {**TUS, "Upload-Offset": str(offset), "Content-Type": OFFSET_TYPE, "Content-Length": str(length)}
    try:
        response = transport.once("PATCH", f"/v1/uploads/{upload_id}", headers=headers, content=body())
    except httpx2.TransportError as error:
        reader.offset = -1
        return transport.away(error)
    if response.is_success:
        return None
    reader.offset = -1
    failure = from_response(response)
    status = response.status_code
    if status in _WORTH_WAITING or (isinstance(failure, APIError) and failure.code == "offset_mismatch"):
        failure.retry_after = retry_after(response)
        return failure
    raise failure


def _known_offset(transport: Transport, upload_id: str, patience: Patience, failure: TdmrError) -> int:
    """Wait until the service says how much it has."""
    while True:
        wait = patience.wait(failure.retry_after)
        if wait is None:
            raise failure
        _io.sleep(wait)
        try:
            response = transport.once("HEAD", f"/v1/uploads/{upload_id}", headers=TUS)
        except httpx2.TransportError as error:
            failure = transport.away(error)
            continue
        if response.is_success:
            return int(response.headers["Upload-Offset"])
        failure = from_response(response)
        if response.status_code not in _WORTH_WAITING:
            raise failure
