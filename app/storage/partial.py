"""Uploads on their way in: one growing file each, in a local folder that the API processes of a host share.

A file's size is the offset of its upload, whichever process was killed meanwhile. A writer holds a lock on the file,
which the kernel releases when the writer dies. Where a piece has to match a checksum, a note beside the file keeps the
old size until it does.
"""

import fcntl
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from app.domain.errors import ChecksumMismatch, UploadLocked
from app.domain.files import replaced_atomically

if TYPE_CHECKING:
    from hashlib import _Hash
    from io import FileIO

REMEMBERED_HASHES = 1024
"""A remembered hash costs less than a kilobyte; a forgotten one, reading the file again."""
_NOTE_SUFFIX = ".unchecked"
_READ_BYTES = 2**20


class PartialUploads:
    """All uploads of this host that are not data sets yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hashes: OrderedDict[str, tuple[int, _Hash]] = OrderedDict()
        self._guard = threading.Lock()

    def offset(self, upload_id: str) -> int:
        """How many bytes are there; 0 before the first."""
        path = self._folder / upload_id
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return 0
        checked = _noted(path)
        return size if checked is None else checked

    def ids(self) -> list[str]:
        """Of all uploads that have a file here."""
        if not self._folder.is_dir():
            return []
        return sorted({path.name.removesuffix(_NOTE_SUFFIX) for path in self._folder.iterdir()})

    @contextmanager
    def hold(self, upload_id: str) -> Iterator["PartialUpload"]:
        """Nobody else writes or removes it meanwhile. What was written is on the disk afterwards, however that ended.

        Raises:
            UploadLocked: if somebody else does.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with _locked(self._folder / upload_id) as file:
            with self._guard:
                hashed = self._hashes.pop(upload_id, (0, hashlib.sha256()))
            held = PartialUpload(self._folder / upload_id, file, *hashed)
            try:
                yield held
            finally:
                self._release(upload_id, held)

    def _release(self, upload_id: str, held: "PartialUpload") -> None:
        if held.path.exists():
            held.record_progress()
            with self._guard:
                self._hashes[upload_id] = held.hashed
                if len(self._hashes) > REMEMBERED_HASHES:
                    self._hashes.popitem(last=False)


class PartialUpload:
    """One upload, while nobody else has it."""

    def __init__(self, path: Path, file: "FileIO", hashed_bytes: int, sha256: "_Hash") -> None:
        """`sha256` is of the first `hashed_bytes`."""
        self.path = path
        self._file = file
        self._hashed_bytes, self._sha256 = hashed_bytes, sha256
        self._before_check: tuple[int, _Hash] | None = None
        self._check: _Hash | None = None
        self._roll_back()  # a note is here already if its writer was killed
        self.offset = os.fstat(file.fileno()).st_size
        self._synced = self.offset

    @property
    def hashed(self) -> "tuple[int, _Hash]":
        """How many bytes have been hashed, and the hash of those."""
        return self._hashed_bytes, self._sha256

    def sha256(self) -> str:
        """Of all bytes that are there. Reads those that this process has not seen itself."""
        if self._hashed_bytes < self.offset:
            with self.path.open("rb") as file:
                file.seek(self._hashed_bytes)
                while piece := file.read(_READ_BYTES):
                    self._sha256.update(piece)
                    self._hashed_bytes += len(piece)
        return self._sha256.hexdigest()

    def write(self, data: bytes | bytearray) -> None:
        """Append. Call `sha256()` once before, so that the hash can go on.

        Raises:
            OSError: what fitted before the disk was full is kept.
        """
        assert self._hashed_bytes == self.offset, "what was there before has been hashed"
        rest = memoryview(data)
        while rest:
            written = self._file.write(rest)
            assert written is not None, "the file blocks"
            for digest in (self._sha256, self._check):
                if digest is not None:
                    digest.update(rest[:written])
            self.offset += written
            self._hashed_bytes += written
            rest = rest[written:]

    def expect_checksum(self, algorithm: str) -> None:
        """What is written from here on counts only once `confirm` has found it right."""
        with replaced_atomically(_note(self.path)) as temporary:
            temporary.write_text(str(self.offset))
        self._before_check = (self.offset, self._sha256.copy())
        self._check = hashlib.new(algorithm)

    def confirm(self, digest: bytes) -> None:
        """
        Raises:
            ChecksumMismatch: and what was written since `expect_checksum` is gone.
        """
        assert self._check is not None
        if self._check.digest() != digest:
            self._roll_back()
            raise ChecksumMismatch(
                "The body does not match its Upload-Checksum and was discarded.", hint="Send the piece again."
            )
        self.await_data()
        _note(self.path).unlink()
        self._before_check, self._check = None, None

    def record_progress(self) -> None:
        """Bring what was written to the disk, without what was not confirmed."""
        self._roll_back()
        self.await_data()

    def await_data(self) -> None:
        if self.offset != self._synced:
            os.fsync(self._file.fileno())
            self._synced = self.offset

    def remove(self) -> None:
        """Once and for all."""
        self.path.unlink(missing_ok=True)
        _note(self.path).unlink(missing_ok=True)

    def _roll_back(self) -> None:
        checked = _noted(self.path)
        if checked is None:
            return
        self._file.truncate(checked)
        self.offset = checked
        if self._before_check is not None:
            self._hashed_bytes, self._sha256 = self._before_check
        self._before_check, self._check = None, None
        _note(self.path).unlink()


@contextmanager
def _locked(path: Path) -> "Iterator[FileIO]":
    while True:
        with path.open("ab", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UploadLocked(
                    "Another request is writing to this upload.",
                    hint="Wait until that request ends; an abandoned one ends by itself.",
                ) from None
            if _is_still(path, file):
                yield file
                return


def _is_still(path: Path, file: "FileIO") -> bool:
    """Whether the name still means what we have opened: it may have been removed in between."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _note(path: Path) -> Path:
    return path.with_name(path.name + _NOTE_SUFFIX)


def _noted(path: Path) -> int | None:
    try:
        return int(_note(path).read_text())
    except FileNotFoundError:
        return None
