"""Downloads that go on where they were cut, each checked against its SHA-256."""

from __future__ import annotations

from pathlib import Path

import httpx2

from tdmr import models
from tdmr._async import _io
from tdmr._async._transport import AsyncTransport
from tdmr._downloads import BLOCK, PartialFile
from tdmr._logging import logger
from tdmr._retry import Patience, retry_after
from tdmr.errors import DownloadFailed, TdmrError, from_response
from tdmr.progress import Display, Rate

_WORTH_WAITING = frozenset({429, 500, 502, 503, 504})
_MOST_DAMAGED = 3


async def download(
    transport: AsyncTransport, path: str, artifact: models.Artifact, target: Path, display: Display
) -> None:
    """Write a published file to `target`; nothing is sent of it where it is already there.

    Raises:
        DownloadFailed: it arrived damaged three times.
        TdmrError: the service refuses it, or has been away for too long.
    """
    file = PartialFile(target, artifact.bytes, artifact.sha256)
    label = f"Downloading {artifact.name}"
    if await _io.in_thread(file.is_done):
        display.show(label, 1.0, "already here")
        return
    damaged = 0
    while True:
        await _io.in_thread(file.resume)
        await _receive(transport, path, file, label, display)
        if await _io.in_thread(file.finish):
            return
        damaged += 1
        if damaged == _MOST_DAMAGED:
            raise DownloadFailed(f"{artifact.name} arrived damaged {damaged} times: its SHA-256 is not that published.")
        logger.warning("%s arrived damaged; once more", artifact.name)


async def _receive(transport: AsyncTransport, path: str, file: PartialFile, label: str, display: Display) -> None:
    """Until as many bytes are there as there should be."""
    rate, patience = Rate(file.offset, file.size), Patience(transport.patience)
    if file.size > BLOCK:  # of a small file it is enough to say that it has come
        display.show(label, file.offset / file.size, rate.detail(file.offset))
    while file.offset < file.size:
        asked = None
        try:
            async with transport.stream(path, headers={"Range": f"bytes={file.offset}-"}) as response:
                if response.is_success:
                    if response.status_code != httpx2.codes.PARTIAL_CONTENT and file.offset:
                        await _io.in_thread(file.restart)  # a proxy that knows no ranges sends it all again
                    async for piece in response.aiter_bytes(BLOCK):
                        await _io.in_thread(file.add, piece)
                        patience.moved()
                        display.show(label, min(1.0, file.offset / max(1, file.size)), rate.detail(file.offset))
                    failure: TdmrError = DownloadFailed(f"The connection was closed within {file.target.name}.")
                else:
                    failure, asked = from_response(response), retry_after(response)
                    if response.status_code not in _WORTH_WAITING:
                        raise failure
        except httpx2.TransportError as error:
            failure = transport.away(error)
        if file.offset < file.size:
            logger.info("%s was interrupted at byte %d: %s", label, file.offset, failure)
            wait = patience.wait(asked)
            if wait is None:
                raise failure
            await _io.sleep(wait)
