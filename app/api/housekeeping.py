"""What an API process does beside its requests."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.concurrency import run_in_threadpool

from app.db.engine import Store
from app.services import uploads
from app.storage.partial import PartialUploads

SWEEP_SECONDS = 600.0

log = logging.getLogger(__name__)


@asynccontextmanager
async def swept(store: Store, partials: PartialUploads) -> AsyncIterator[None]:
    """Uploads that are over are removed, at once and from time to time. Here and not in a worker, since the files lie
    on the API's host; several processes of one host may do so at once."""
    sweeping = asyncio.create_task(_sweep(store, partials))
    try:
        yield
    finally:
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping


async def _sweep(store: Store, partials: PartialUploads) -> None:
    while True:
        try:
            await run_in_threadpool(uploads.sweep, store, partials)
        except Exception as error:
            log.warning("uploads that are over were not removed: %s", str(error).partition("\n")[0])
        await asyncio.sleep(SWEEP_SECONDS)
