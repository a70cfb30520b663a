"""Published files: what was stored under a key is what is given, or it is not given at all.

A missing file is not a storage that is away: waiting brings the one back and not the other.
"""

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.domain.errors import FileLost, StoreUnavailable
from app.domain.files import sha256_file
from app.storage.blobs import Blobs

CHUNK_BYTES = 256 * 1024
HINT = "Tell the operator of the service, whose log names the file. A new job with the same spec makes it again."

log = logging.getLogger(__name__)


class BrokenOff(Exception):
    """The bytes are not those that were published. The answer that carries them has to end before its end."""


class StorageAway(BrokenOff):
    """Broken off because the storage went away, not for what it gave: to resume may succeed."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A published file, where it lies and what it must be."""

    key: str
    bytes: int
    sha256: str


def require(blobs: Blobs, file: StoredFile) -> None:
    """See that the storage has it, before an answer promises it.

    Raises:
        FileLost, StoreUnavailable: as `read`.
    """
    _open(blobs, file).close()


def read(blobs: Blobs, file: StoredFile, start: int, length: int) -> Iterator[bytes]:
    """Bytes `start` to `start + length` in pieces. Opened here and now, so that a missing file is an answer of its own
    and no broken stream.

    The SHA-256 is of the whole file. So what goes to its end is read from its beginning, and the last piece is given
    only once the file has been found to be what was published; `BrokenOff` comes instead of it. To resume therefore
    costs reading what is not sent. A part that ends earlier is given as it is: nothing can be proven of it without the
    rest, and whoever puts parts together has the digest of the whole.

    Raises:
        FileLost: if the storage has no such file, or one of another size.
        StoreUnavailable: if the storage is away.
    """
    stream = _open(blobs, file)
    if start + length == file.bytes:
        return part(_checked(stream, file), start, length)
    stream.seek(start)
    return _raw(stream, file, length)


def read_whole(blobs: Blobs, file: StoredFile) -> bytes:
    """A file that fits into memory.

    Raises:
        FileLost: if the storage has no such file, or another one.
        StoreUnavailable: if the storage is away.
    """
    try:
        return b"".join(read(blobs, file, 0, file.bytes))
    except StorageAway as error:
        raise _away() from error
    except BrokenOff as error:
        raise _altered() from error


def fetch(blobs: Blobs, key: str, target: Path, *, what: str, hint: str, sha256: str | None = None) -> None:
    """Copy a blob that a row names into a local file.

    Args:
        what: the blob in a user's words, with its article.
        hint: what its user can do where it is lost.
        sha256: what it must have, where that is known.

    Raises:
        FileLost: if the storage no longer has it, or has other bytes.
        StoreUnavailable: if the storage has nothing at all.
        OSError: if the storage is away, or the file cannot be written.
    """
    try:
        blobs.fetch(key, target)
    except FileNotFoundError as error:
        if blobs.exists(key):  # it is the folder of `target` that has gone
            raise
        raise _missing(blobs, key, what, hint) from error
    if sha256 is not None and sha256_file(target) != sha256:
        log.error("%s in the storage is not what was uploaded", key)
        raise FileLost(f"The storage has other bytes than {what} had.", hint=hint)


def part(pieces: Iterator[bytes], start: int, length: int) -> Iterator[bytes]:
    """Bytes `start` to `start + length` of all `pieces`. For what stands before, empty pieces come: between two pieces
    a server sees whether its client is still there."""
    for piece in pieces:
        kept = piece[start : start + length]
        start = max(0, start - len(piece))
        length -= len(kept)
        yield kept
        if length <= 0:
            return


def _open(blobs: Blobs, file: StoredFile) -> BinaryIO:
    try:
        stream = blobs.open(file.key)
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
    except FileNotFoundError as error:
        raise _missing(blobs, file.key, "this file", HINT) from error
    except OSError as error:
        raise _away() from error
    if size != file.bytes:
        stream.close()
        log.error("%s has %d bytes in the storage and had %d when it was published", file.key, size, file.bytes)
        raise _altered()
    return stream


def _checked(stream: BinaryIO, file: StoredFile) -> Iterator[bytes]:
    digest, last = hashlib.sha256(), b""
    for piece in _raw(stream, file, file.bytes):
        yield last
        digest.update(piece)
        last = piece
    if digest.hexdigest() != file.sha256:
        log.error("%s in the storage is not the file that was published", file.key)
        raise BrokenOff(file.key)
    yield last


def _raw(stream: BinaryIO, file: StoredFile, length: int) -> Iterator[bytes]:
    with stream:
        while length > 0:
            try:
                piece = stream.read(min(CHUNK_BYTES, length))
            except OSError as error:
                log.warning("%s: the storage went away while it was read: %s", file.key, error)
                raise StorageAway(file.key) from error
            if not piece:
                log.error("%s has become shorter while it was read", file.key)
                raise BrokenOff(file.key)
            length -= len(piece)
            yield piece


def _missing(blobs: Blobs, key: str, what: str, hint: str) -> FileLost | StoreUnavailable:
    try:
        if blobs.is_empty():
            log.error("the storage is empty, as if it were not mounted: %s is not there", key)
            return _away()
    except OSError:
        return _away()
    log.error("the storage no longer has %s", key)
    return FileLost(f"The storage no longer has {what}.", hint=hint)


def _away() -> StoreUnavailable:
    return StoreUnavailable("The storage cannot deliver this file.", hint="Try again in a few seconds.")


def _altered() -> FileLost:
    return FileLost("The stored file differs from the published one.", hint=HINT)
