"""A request's body on its way into a file: bounded memory, and no waiting for the disk on the event loop."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import Request
from fastapi.concurrency import contextmanager_in_threadpool
from starlette.concurrency import run_in_threadpool

from app.api.uploads.tus import Checksum
from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import PartialRow
from app.domain.errors import OffsetMismatch, TooLarge, UploadComplete
from app.domain.failpoints import failpoint
from app.services import uploads
from app.settings import Settings
from app.storage.partial import PartialUpload, PartialUploads

_PIECE_BYTES = 2**20
_PIECE_CHUNKS = 256
"""However small they are: a list of a million chunks of one byte takes many times the memory of what it holds."""


async def pour(request: Request, write: Callable[[bytes], None]) -> None:
    """Hand the body to `write`, which runs in a thread, in fewer and larger pieces than it comes in. Of a body that is
    broken off, what has come is handed over all the same."""
    chunks: list[bytes] = []
    size = 0

    async def hand_over() -> None:
        nonlocal size
        piece = b"".join(chunks)
        chunks.clear()
        size = 0
        await run_in_threadpool(write, piece)

    try:
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size >= _PIECE_BYTES or len(chunks) >= _PIECE_CHUNKS:
                await hand_over()
    finally:
        if chunks:
            await hand_over()


@asynccontextmanager
async def fresh(partials: PartialUploads) -> AsyncIterator[PartialUpload]:
    """An empty file, gone when the request is over, however it ends."""
    async with contextmanager_in_threadpool(partials.hold(new_id("upl"))) as partial:
        try:
            yield partial
        finally:
            await run_in_threadpool(partial.remove)


def bounded(partial: PartialUpload, max_bytes: int) -> Callable[[bytes], None]:
    """Appends to an upload until that has `max_bytes`.

    Raises:
        TooLarge: when it is called with more.
    """

    def write(data: bytes) -> None:
        if partial.offset + len(data) > max_bytes:
            raise _too_large(max_bytes)
        partial.write(data)
        failpoint("upload_piece")

    return write


async def append(
    request: Request,
    store: Store,
    settings: Settings,
    partials: PartialUploads,
    upload: PartialRow,
    offset: int,
    checksum: Checksum | None,
    revalidate: Callable[[], None],
) -> int:
    """Add the body to a resumable upload that stands at `offset`; gives where it stands then.

    Args:
        revalidate: asked once the body has come, which may take hours.

    Raises:
        UploadLocked, UploadComplete, OffsetMismatch, ChecksumMismatch, TooLarge
        NotFound: if it has gone meanwhile.
    """

    def extend_expiry() -> None:
        with store.write() as session:
            uploads.extend_expiry(session, settings, upload)

    declared = request.headers.get("content-length")
    async with contextmanager_in_threadpool(partials.hold(upload.id)) as partial:
        # a client whose last answer was lost may ask to add nothing
        if partial.offset >= upload.length and declared != "0":
            raise UploadComplete("All bytes have arrived.", hint="POST /v1/datasets with its upload_id.")
        if partial.offset != offset:
            raise OffsetMismatch(
                f"{partial.offset:,} bytes have arrived, not {offset:,}.",
                offset=partial.offset,
                hint="Continue from Upload-Offset.",
                param="Upload-Offset",
            )
        if declared is not None and offset + int(declared) > upload.length:
            raise _too_large(upload.length)
        await run_in_threadpool(extend_expiry)
        await run_in_threadpool(partial.sha256)  # what came before we were started is read, so that the hash can go on
        if checksum is not None:
            await run_in_threadpool(partial.expect_checksum, checksum.algorithm)
        await pour(request, bounded(partial, upload.length))
        await run_in_threadpool(revalidate)
        if checksum is not None:
            await run_in_threadpool(partial.confirm, checksum.digest)
        await run_in_threadpool(extend_expiry)
    return partial.offset


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"The body may have at most {max_bytes:,} bytes.")
