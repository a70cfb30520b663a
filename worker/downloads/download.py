"""One archive on its way into a local file, which outlives the worker that fetches it."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from app.domain.errors import SourceChanged, SourceNotAnArchive, SourceTooLarge, SourceTooSlow, SourceUnavailable
from app.domain.failpoints import failpoint
from app.domain.files import replaced_atomically
from app.ingest.foreign import what
from worker.downloads.part import Interrupted, Mark, Part, Replaced, Source

ARCHIVE_NAME, MARK_NAME = "archive", "mark.json"
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each further try, from the last one that brought something on."""
MOST_CHANGES = 2
"""Other bytes at the address, each time an interrupted download was to go on."""
_HEAD_BYTES = 1024
_POLL_SECONDS = 0.2
_READ_BYTES = 2**20
_NO_ARCHIVE = ("an HTML page", "an XML document", "a JSON document", "a Git LFS pointer", "text", "an empty file")
_HOW_TO_LINK = (
    "Send the address of the file itself: `/resolve/` on Hugging Face, the raw file or a release's asset on GitHub, "
    "`dl=1` at Dropbox. Pages that ask for a sign-in or a confirmation cannot be passed."
)
_TABLES = "A table of images' addresses is taken only where the service's operator allows it, with TDMR_FETCH_IMAGES."

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a download may take."""

    bytes: int
    seconds: float = 7200
    idle_seconds: float = 30
    bytes_per_second: float = 16_384
    """Over each `idle_seconds`."""
    pauses: Sequence[float] = PAUSES


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete archive."""

    path: Path
    bytes: int
    sha256: str


class Download:
    """A folder holds what has come, and by what the rest can be recognised: whoever opens it again goes on from there.
    The caller holds the folder."""

    def __init__(
        self,
        folder: Path,
        source: Source,
        bounds: Bounds,
        *,
        check: Callable[[], None] = lambda: None,
        admit: Callable[[int], None] = lambda size: None,
        passes: Callable[[str], bool] = lambda kind: False,
    ) -> None:
        """
        Args:
            check: called often; what it raises ends the download, which can be resumed.
            admit: called with the archive's size as soon as that is known; may raise.
            passes: whether what begins like this kind of file (`app.ingest.foreign`) may come though it is no archive.
        """
        self._source, self._bounds, self._check, self._admit = source, bounds, check, admit
        self._passes = passes
        self._path, self._mark_path = folder / ARCHIVE_NAME, folder / MARK_NAME
        self._mark = self._read_mark()
        self._size, self._sha256 = 0, hashlib.sha256()
        self._changes, self._looked = 0, False

    @property
    def progress(self) -> float:
        """0 to 1; 0 where nobody knows how much will come."""
        return min(1.0, self._size / self._mark.length) if self._mark is not None and self._mark.length else 0.0

    def run(self) -> Fetched:
        """
        Raises:
            SourceUnavailable: or one of its kinds, in words for whoever named the address.
            DestinationRefused: its server may not be connected to.
        """
        deadline = time.monotonic() + self._bounds.seconds
        self._read_kept()
        if self._size:
            log.info("the download goes on at byte %d", self._size)
        tries, furthest = 0, self._size
        while True:
            try:
                self._fetch(deadline)
                return Fetched(self._path, self._size, self._sha256.hexdigest())
            except Interrupted as stopped:
                if isinstance(stopped, Replaced):
                    self._note_change()
                tries = 0 if self._size > furthest else tries + 1
                furthest = max(furthest, self._size)
                log.info("the download was interrupted at byte %d: %s", self._size, stopped.words)
                if time.monotonic() >= deadline:
                    raise _too_long(self._bounds.seconds) from stopped
                if tries >= len(self._bounds.pauses):
                    raise _given_up(stopped, tries) from stopped
                self._pause(max(self._bounds.pauses[tries], stopped.retry_after))

    def _fetch(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise _too_long(self._bounds.seconds)
        if self._mark is not None and self._mark.condition is None:
            self._begin(None)  # nobody could tell whether the rest belongs to it
        if self._size and self._mark is not None and self._size == self._mark.length:
            self._look(complete=True)
            return
        with self._source.open(self._size, self._mark, left) as part:
            self._continue_with(part)
            pace = _Pace(self._bounds)
            with self._path.open("ab", buffering=0) as file:
                for piece in part.pieces:
                    self._bound(self._size + len(piece))
                    for written in _written(file.write, piece):
                        self._sha256.update(written)
                        self._size += len(written)
                    failpoint("download_piece")
                    pace.add(len(piece))
                    self._look(complete=False)
                    self._check()
                    if time.monotonic() >= deadline:
                        raise _too_long(self._bounds.seconds)
        if part.mark.length is not None and self._size != part.mark.length:
            raise Interrupted("The connection was closed before the archive was complete.")
        self._look(complete=True)

    def _continue_with(self, part: Part) -> None:
        if part.offset == self._size and self._size:
            return
        if self._size:
            log.info("the download begins again: the server sends no rest")
            if self._mark is None or self._mark.condition != part.mark.condition:
                self._note_change()
        self._begin(part.mark)
        if part.mark.length is not None:
            self._bound(part.mark.length)
            self._admit(part.mark.length)

    def _note_change(self) -> None:
        self._changes += 1
        if self._changes >= MOST_CHANGES:
            raise SourceChanged(
                "The archive at this address was changed while it was fetched, more than once.",
                hint="Send the address again once it does not change any more.",
            )
        self._begin(None)

    def _begin(self, mark: Mark | None) -> None:
        """Forget what has come. The mark is there before the first byte that it speaks of."""
        self._path.unlink(missing_ok=True)
        self._size, self._sha256, self._looked, self._mark = 0, hashlib.sha256(), False, mark
        if mark is None:
            self._mark_path.unlink(missing_ok=True)
        else:
            with replaced_atomically(self._mark_path) as temporary:
                temporary.write_text(mark.model_dump_json())

    def _bound(self, size: int) -> None:
        if size > self._bounds.bytes:
            raise SourceTooLarge(
                f"The archive has {size:,} bytes or more; this service takes {self._bounds.bytes:,}.",
                hint="Split it, or have TDMR_MAX_UPLOAD_BYTES raised.",
            )

    def _look(self, *, complete: bool) -> None:
        """Call a page by its name before gigabytes of anything, or a child process, are spent on it."""
        if self._looked or (self._size < _HEAD_BYTES and not complete):
            return
        self._looked = True
        with self._path.open("rb") as file:
            kind = what(file.read(_HEAD_BYTES))
        if kind is not None and kind.startswith(_NO_ARCHIVE) and not self._passes(kind):
            name = kind.partition(":")[0].partition(", such as")[0]
            hint = f"{_HOW_TO_LINK} {_TABLES}" if name == "text" else _HOW_TO_LINK
            raise SourceNotAnArchive(f"Not an archive lies at this address but {name}.", hint=hint)

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._check()
            time.sleep(min(_POLL_SECONDS, left))

    def _read_mark(self) -> Mark | None:
        try:
            return Mark.model_validate_json(self._mark_path.read_bytes())
        except (OSError, ValidationError):
            return None

    def _read_kept(self) -> None:
        """What is there from before, so that the hash can go on; nothing where nothing tells what it belongs to."""
        if self._mark is None:
            self._path.unlink(missing_ok=True)
        if self._path.is_file():
            with self._path.open("rb") as file:
                while piece := file.read(_READ_BYTES):
                    self._check()
                    self._sha256.update(piece)
                    self._size += len(piece)


class _Pace:
    """Whether enough comes."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._since, self._bytes = time.monotonic(), 0

    def add(self, size: int) -> None:
        """
        Raises:
            SourceTooSlow
        """
        self._bytes += size
        seconds = time.monotonic() - self._since
        if seconds < self._bounds.idle_seconds:
            return
        if self._bytes < self._bounds.bytes_per_second * seconds:
            raise SourceTooSlow(
                f"The server sent {self._bytes:,} bytes in {seconds:.0f} s; this service waits for no less than "
                f"{self._bounds.bytes_per_second:,.0f} a second.",
                hint="Use a faster server, or upload the archive.",
            )
        self._since, self._bytes = time.monotonic(), 0


def _written(write: Callable[[memoryview], int | None], piece: bytes) -> Iterator[memoryview]:
    """Each part of the piece, once it is in the file: a full disk may take less than all."""
    rest = memoryview(piece)
    while rest:
        count = write(rest)
        assert count is not None, "the file blocks"
        yield rest[:count]
        rest = rest[count:]


def _too_long(seconds: float) -> SourceTooSlow:
    return SourceTooSlow(
        f"The archive had not come completely after {seconds / 60:g} minutes, the limit of this service.",
        hint="Use a faster server, or upload the archive.",
    )


def _given_up(stopped: Interrupted, tries: int) -> SourceUnavailable:
    kind = SourceTooSlow if stopped.slow else SourceUnavailable
    return kind(
        f"{stopped.words} That was so {max(1, tries)} times in a row.",
        hint="Send the address again once its server is well.",
    )
