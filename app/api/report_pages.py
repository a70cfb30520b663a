"""Pages about data sets: each is rendered once, in a process of its own, and remembered by what it was made of."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from cachetools import LRUCache
from fastapi import Request

from app.api.presence import while_present
from app.domain.dataset import DatasetReport
from app.domain.errors import ReportsBusy
from app.ingest.decoders import Decoders
from app.reports.dataset_report import Content, ReportedDataset, render_json
from app.services import dataset_pictures
from app.storage.blobs import Blobs

KEPT_BYTES = 64 * 2**20
"""Of pages; the largest have some five megabytes, for thumbnails. What was not asked for longest goes first."""
WAITING = 16
"""Pages that may wait for their turn, some tenths of a second each."""
_PIXELS = 16_000_000
"""By which `Decoders` gives its process half a gigabyte. A page takes less than a tenth of that."""
_VERSION = version("tdmr")


@dataclass(frozen=True, slots=True)
class PageSource:
    """What a page is made of, as far as it tells one page from another. Nothing of it changes under its name."""

    dataset: ReportedDataset
    preview_key: str | None
    review_key: str | None

    @property
    def digest(self) -> str:
        parts = [_VERSION, self.dataset.model_dump(mode="json"), self.preview_key, self.review_key]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(eq=False)
class _Coming:
    """A page that somebody waits for."""

    work: Future[bytes]
    waiters: int = 0


class ReportPages:
    """One for each API process. Rendering holds Python's lock, and with it all requests, so it happens elsewhere."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._kept: LRUCache[str, bytes] = LRUCache(KEPT_BYTES, getsizeof=len)
        self._guard = threading.Lock()
        self._coming: dict[str, _Coming] = {}
        """By digest; of the event loop alone."""
        self._places = threading.BoundedSemaphore(WAITING)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="page")
        self._process = Decoders(_PIXELS, 1, threaded=True)  # starts with the first page

    def close(self) -> None:
        """A page at work is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._process.close()

    def kept(self, source: PageSource) -> bytes | None:
        with self._guard:
            return self._kept.get(source.digest)

    async def make(
        self, request: Request, source: PageSource, report: Mapping[str, Any], within_seconds: float
    ) -> bytes:
        """
        Raises:
            ReportsBusy: if too many wait, or its turn does not come in time.
            ClientDisconnect: if nobody waits for it any more.
        """
        digest = source.digest
        coming = self._coming.get(digest)
        if coming is None:
            if not self._places.acquire(blocking=False):
                raise _busy()
            coming = self._coming[digest] = _Coming(self._thread.submit(self._make, source, report))
            coming.work.add_done_callback(lambda _: self._places.release())
        coming.waiters += 1
        try:
            return await while_present(request, asyncio.wrap_future(coming.work), within_seconds)
        except TimeoutError:
            raise _busy() from None
        finally:
            coming.waiters -= 1
            if not coming.waiters:
                coming.work.cancel()  # what has not begun need not
                del self._coming[digest]

    def _make(self, source: PageSource, report: Mapping[str, Any]) -> bytes:
        """In the one thread, so a second one of the same page finds it made."""
        kept = self.kept(source)
        if kept is not None:
            return kept
        preview = dataset_pictures.preview(self._blobs, source.preview_key)
        review = dataset_pictures.review(self._blobs, source.review_key)
        content = Content(
            dataset=source.dataset, report=DatasetReport.model_validate(report), preview=preview, review=review
        )
        page = self._process.one(render_json, content.model_dump_json().encode())
        if page is None:
            raise ChildProcessError("the process that renders pages died of one")
        whole = (preview is None) == (source.preview_key is None) and (review is None) == (source.review_key is None)
        if whole and len(page) <= KEPT_BYTES:  # else the storage may give the missing part the next time
            with self._guard:
                self._kept[source.digest] = page
        return page


def _busy() -> ReportsBusy:
    return ReportsBusy("Too many reports are being made.", hint="Try again in a few seconds, or ask for ?format=json.")
