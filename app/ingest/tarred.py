"""tar, tar.gz, tar.zst and tar.bz2, block by block.

The standard library's reader holds extended headers and sparse maps of any size in memory; here the stream is walked
by hand, forward only, and only `TarInfo.frombuf` is used to parse a header block.
"""

import bz2
import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from app.domain.errors import DatasetRejected
from app.ingest.entry import Entry
from app.ingest.limits import Limits, Meter
from app.ingest.names import NameCheck, rejected
from app.reading.listing import Given

_GZIP, _BZIP2, _ZSTD = b"\x1f\x8b", b"BZh", b"\x28\xb5\x2f\xfd"
COMPRESSED = (_GZIP, _BZIP2, _ZSTD)
"""What a compressed tar starts with."""
_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 2**16
_MAX_HEADER_BYTES = 2**20
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_WINDOW_BYTES = 2**27
"""What a zstd frame may make us remember: the most that its command line uses without being told to."""
_DAMAGED = (tarfile.HeaderError, EOFError, zlib.error, zstandard.ZstdError, OSError, ValueError)


class TarArchive:
    """See `Archive`. The constructor walks the whole archive once, so that a bad one is refused before any work."""

    def __init__(self, path: Path, limits: Limits, encoding: str | None = None) -> None:
        """`encoding`: of names that are not UTF-8, as the archive's owner says."""
        self._path = path
        self._limits = limits
        self._encoding = encoding
        self.folders: list[str] = []
        self.notes: list[str] = []
        self.given: list[Given] = []
        self.entries = [entry for entry, _ in self._files(lambda entry: False, self.folders)]

    def walk(self, wanted: Callable[[Entry], bool]) -> Iterator[tuple[Entry, bytes]]:
        for entry, data in self._files(wanted):
            if data is not None:
                yield entry, data

    def copy(self, path: str, target: Path) -> None:
        with target.open("wb") as file:
            for _ in self._files(lambda entry: entry.path == path, into=file):
                pass

    def _files(
        self, wanted: Callable[[Entry], bool], folders: list[str] | None = None, into: BinaryIO | None = None
    ) -> Iterator[tuple[Entry, bytes | None]]:
        """`folders` gets the names of folders; `into` the bytes of what is wanted, which are then not held."""
        names = NameCheck()
        with _open(self._path) as file:
            stream = _Stream(file, Meter(self._path.stat().st_size, self._limits))
            for header in _headers(stream):
                name = self._decoded(header.name)
                if header.isdir():
                    folder = names.folder(name)
                    if folders is not None:
                        folders.append(folder)
                    continue
                if header.type not in _FILES:
                    raise rejected(name, "is a link, a device or a sparse file, not a plain file")
                path = names.file(name)
                assert path is not None, "a tar tells nothing about the bytes of an entry"
                entry = Entry(path, header.size)
                if not wanted(entry):
                    stream.skip(header.size)
                    yield entry, None
                elif into is not None:
                    stream.pour(header.size, into)
                    yield entry, None
                else:
                    yield entry, stream.content(header.size)

    def _decoded(self, name: str) -> str:
        if self._encoding is None or name.isprintable():
            return name
        try:
            return name.encode("utf-8", "surrogateescape").decode(self._encoding)
        except UnicodeError:
            raise rejected(name, f"has a name that is not in {self._encoding}", "Name another `encoding`.") from None


class _Stream:
    """Exact reads from a decompressed tar, all counted; whatever goes wrong below becomes a rejection."""

    def __init__(self, file: BinaryIO, meter: Meter) -> None:
        self._file = file
        self.meter = meter

    def exactly(self, size: int) -> bytes:
        """`size` bytes, at most one chunk."""
        self.meter.unpacked(size)
        try:
            data = self._file.read(size)
        except _DAMAGED:
            raise _damaged() from None
        if len(data) != size:
            raise _damaged()
        return data

    def content(self, size: int) -> bytes:
        """A file's or extended header's bytes, and past the padding behind them."""
        return b"".join(self._chunks(size))

    def pour(self, size: int, file: BinaryIO) -> None:
        file.writelines(self._chunks(size))

    def skip(self, size: int) -> None:
        for _ in self._chunks(size):
            pass

    def _chunks(self, size: int) -> Iterator[bytes]:
        padding = -size % _BLOCK
        while size:
            chunk = self.exactly(min(size, _CHUNK))
            size -= len(chunk)
            yield chunk
        self.exactly(padding)


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic.startswith(_GZIP):
        return cast(BinaryIO, gzip.open(path))
    if magic.startswith(_BZIP2):
        return cast(BinaryIO, bz2.open(path))
    if magic == _ZSTD:
        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
        return cast(BinaryIO, decompressor.stream_reader(path.open("rb"), read_across_frames=True, closefd=True))
    return path.open("rb")


def _headers(stream: _Stream) -> Iterator[tarfile.TarInfo]:
    """The header of each entry, with the extended headers before it applied. The caller consumes the content."""
    extended: dict[str, str] = {}
    first = True
    while any(block := stream.exactly(_BLOCK)):
        header = _parsed(block, first)
        first = False
        if header.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE, *_PAX):
            content = _extension(stream, header)
            if header.type == tarfile.GNUTYPE_LONGNAME:
                extended["path"] = content.rstrip(b"\0").decode(errors="surrogateescape")
            elif header.type in _PAX:
                extended.update(_pax(content))
            continue
        stream.meter.entry()
        _extend(header, extended)
        extended = {}
        yield header


def _parsed(block: bytes, first: bool) -> tarfile.TarInfo:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except _DAMAGED:
        if first:
            raise DatasetRejected(
                "The file is not an archive.", hint="Send a zip, tar, tar.gz or tar.zst archive."
            ) from None
        raise _damaged() from None
    if header.size < 0:
        raise _damaged()
    return header


def _extension(stream: _Stream, header: tarfile.TarInfo) -> bytes:
    if header.size > _MAX_HEADER_BYTES:
        raise rejected(header.name, "has an extended header of more than a mebibyte")
    return stream.content(header.size)


def _pax(content: bytes) -> dict[str, str]:
    """Records `length key=value\\n`, where the length counts the whole record (POSIX.1-2001, pax)."""
    records: dict[str, str] = {}
    start = 0
    while start < len(content):
        length, space, _ = content[start : start + 9].partition(b" ")
        end = start + int(length) if length.isdigit() else 0
        if not space or not start + len(length) < end <= len(content):
            raise _damaged()
        key, _, value = content[start + len(length) + 1 : end - 1].partition(b"=")
        records[key.decode(errors="replace")] = value.decode(errors="surrogateescape")
        start = end
    return records


def _extend(header: tarfile.TarInfo, extended: dict[str, str]) -> None:
    header.name = extended.get("path", header.name)
    if any(key.startswith("GNU.sparse") for key in extended):
        raise rejected(header.name, "is a sparse file, not a plain one")
    size = extended.get("size")
    if size is not None:
        if not (size.isascii() and size.isdigit() and len(size) < 20):
            raise _damaged()
        header.size = int(size)


def _damaged() -> DatasetRejected:
    return DatasetRejected(
        "The tar archive is damaged or incomplete.", hint="Check it with `tar -t` and upload it again."
    )
