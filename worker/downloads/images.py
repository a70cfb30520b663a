"""The images that a table names, on their way into local files, several at a time."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from app.domain.address_tables import Address
from app.domain.errors import (
    BucketRefused,
    DestinationRefused,
    SourceChanged,
    SourceForbidden,
    SourceNotFound,
    SourceTooLarge,
    SourceTooSlow,
    SourceUnavailable,
)
from app.domain.failpoints import failpoint
from app.domain.sources import SourceUrl
from worker.downloads.download import ARCHIVE_NAME, Bounds, Download
from worker.downloads.part import Source
from worker.scratch import remove

AT_ONCE = 8
"""Images that are fetched at a time: a browser asks one server for six."""
HOST_FAILURES = 10
"""So many images in a row that a server did not send: the others of this server are not asked for."""
PAUSES = (1.0, 2.0)
"""Seconds before each further try for one image; there may be thousands."""
_WAITING = 4 * AT_ONCE
_POLL_SECONDS = 0.2
_SILENT = "its server does not send it"
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (SourceNotFound, "nothing lies at its address"),
    (SourceForbidden, "its server refuses it"),
    (SourceTooLarge, "it is too large"),
    (SourceTooSlow, "its server is too slow"),
    (SourceChanged, "it was changed while it was fetched"),
    (BucketRefused, "this service may not read its bucket"),
    (DestinationRefused, "this service may not connect to its address"),
    (SourceUnavailable, _SILENT),
)
_URL: TypeAdapter[str] = TypeAdapter(SourceUrl)

log = logging.getLogger(__name__)


class _Ended(Exception):
    """Another thread has ended the whole."""


@dataclass(frozen=True, slots=True)
class ImageBounds:
    """What the images of one table may take."""

    each: Bounds
    bytes: int
    """Of all."""
    seconds: float
    """For all."""


class Images:
    """A folder holds the images that have come, each under its number: whoever opens it again fetches the others. The
    caller holds the folder."""

    def __init__(
        self,
        folder: Path,
        open_source: Callable[[str], Source],
        bounds: ImageBounds,
        *,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            open_source: for an address; may raise BucketRefused.
            check: called often, in the caller's thread; what it raises ends the downloads.
        """
        self._whole, self._parts = folder / "whole", folder / "parts"
        self._open_source, self._bounds, self._check = open_source, bounds, check
        self._ended, self._lock = threading.Event(), threading.Lock()
        self._in_a_row: Counter[str] = Counter()
        """By server: images that it did not send, since one that it did."""
        self.bytes, self.done = 0, 0
        self.lost: dict[int, str] = {}
        """Number of an image, and why it could not be fetched."""

    def path(self, number: int) -> Path:
        """Of an image that has come."""
        return self._whole / str(number)

    def run(self, addresses: Sequence[Address]) -> None:
        """Fetch them all. What cannot be fetched stands in `lost`.

        Raises:
            SourceTooLarge, SourceTooSlow: all together are too much.
        """
        self._whole.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + self._bounds.seconds
        pending: set[Future[None]] = set()
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="image") as pool:
            try:
                for number, address in enumerate(addresses):
                    self._bound()
                    if self.path(number).is_file():
                        self._note(self.path(number).stat().st_size)
                        continue
                    pending.add(pool.submit(self._fetch, number, address.cell, deadline))
                    while len(pending) >= _WAITING:
                        pending = self._settle(pending, deadline)
                while pending:
                    pending = self._settle(pending, deadline)
                self._bound()
            finally:
                self._ended.set()
                for future in pending:
                    future.cancel()

    def _settle(self, pending: set[Future[None]], deadline: float) -> set[Future[None]]:
        done, rest = wait(pending, _POLL_SECONDS, FIRST_COMPLETED)
        for future in done:
            future.result()
        self._check()
        self._bound()
        if time.monotonic() >= deadline:
            raise SourceTooSlow(
                f"The images had not come completely after {self._bounds.seconds / 60:g} minutes, the limit of this "
                f"service: {self.done:,} were there.",
                hint="Use faster servers, split the table, or upload the images.",
            )
        return rest

    def _bound(self) -> None:
        if self.bytes > self._bounds.bytes:
            raise SourceTooLarge(
                f"The images have more than {self._bounds.bytes:,} bytes together, the limit of this service.",
                hint="Split the table, or have TDMR_MAX_UPLOAD_BYTES raised.",
            )

    def _fetch(self, number: int, cell: str, deadline: float) -> None:
        part = self._parts / str(number)
        host = _host_of(cell)
        try:
            if self._ended.is_set():
                return
            if self._in_a_row[host] >= HOST_FAILURES:
                raise SourceUnavailable("Its server has sent none of many.")
            source = self._open_source(_URL.validate_python(cell))
            part.mkdir(parents=True, exist_ok=True)
            left = max(0.0, deadline - time.monotonic())
            bounds = replace(self._bounds.each, seconds=min(self._bounds.each.seconds, left))
            fetched = Download(part, source, bounds, check=self._go_on, passes=lambda kind: True).run()
        except _Ended:
            return
        except ValidationError:
            self._lose(number, "its address is not one that is fetched")
        except tuple(kind for kind, _ in _WORDS) as error:
            self._in_a_row[host] += type(error) in (SourceUnavailable, SourceTooSlow)
            self._lose(number, next(words for kind, words in _WORDS if isinstance(error, kind)))
        else:
            self._in_a_row[host] = 0
            (part / ARCHIVE_NAME).replace(self.path(number))
            self._note(fetched.bytes)
            failpoint("image_fetched")
        remove(part)

    def _go_on(self) -> None:
        if self._ended.is_set():
            raise _Ended

    def _note(self, size: int) -> None:
        with self._lock:
            self.bytes += size
            self.done += 1

    def _lose(self, number: int, words: str) -> None:
        with self._lock:
            self.lost[number] = words
            self.done += 1


def _host_of(cell: str) -> str:
    try:
        return urlsplit(cell).netloc.lower()
    except ValueError:
        return ""
