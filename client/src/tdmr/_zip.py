"""A folder as a stored zip that is never written anywhere: any byte of it can be made again at any time.

The same folder gives the same bytes, so an upload can go on in another process. Image files do not compress, and a
zip that is only stored has a length that is known before the first file is read.
"""

from __future__ import annotations

import bisect
import hashlib
import os
import struct
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tdmr.errors import UploadFailed

PIECE = 1 << 20
JUNK = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
"""What systems leave in folders; so do names that begin with a dot, and the service ignores both."""
_AT_ONCE = 64 * PIECE
"""A file up to this size is read once, and its CRC computed before it is sent; a larger one is read twice."""
_UTF8, _STORED = 0x800, 0
_LONG_AGO = 0x0021
"""1980-01-01, the first day that a zip knows: times must not make two equal archives differ."""
_FOUR_GIB, _MANY = 0xFFFFFFFF, 0xFFFF


class Entry(NamedTuple):
    """A file, and where it begins in the zip."""

    path: str
    name: bytes
    size: int
    modified: int
    """In nanoseconds, by which a change is noticed."""
    offset: int

    @property
    def is_big(self) -> bool:
        return self.size >= _FOUR_GIB

    @property
    def header_length(self) -> int:
        return 30 + len(self.name) + (20 if self.is_big else 0)


class FolderZip:
    """Reads a folder as a zip, from any byte on."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            UploadFailed: it holds no file, one that cannot be read, or two whose names differ only in how accents are
                encoded.
        """
        self.folder = folder
        self.name = f"{folder.resolve().name or 'folder'}.zip"
        self.entries = list(_entries(folder))
        if not self.entries:
            raise UploadFailed(f"{folder} holds no file.")
        last = self.entries[-1]
        self._directory_offset = last.offset + last.header_length + last.size
        self._directory_length = sum(46 + len(e.name) + len(_directory_extra(e)) for e in self.entries)
        self._is_zip64 = len(self.entries) >= _MANY or self._directory_offset + self._directory_length >= _FOUR_GIB
        self.size = self._directory_offset + self._directory_length + 22 + (76 if self._is_zip64 else 0)
        self._checksums: dict[int, int] = {}
        self._starts = [entry.offset for entry in self.entries]

    @property
    def fingerprint(self) -> str:
        """Of names, sizes and times: equal while nothing has been changed."""
        digest = hashlib.sha256(str(self.folder.resolve()).encode())
        for entry in self.entries:
            digest.update(f"\n{entry.size} {entry.modified} ".encode() + entry.name)
        return digest.hexdigest()

    def read(self, offset: int = 0) -> Iterator[bytes]:
        """The bytes from `offset` on, in pieces.

        Raises:
            UploadFailed: a file has changed or gone since the folder was listed.
        """
        skipped = offset - self._first_before(offset)
        waiting, length = [], 0
        for piece in self._pieces(offset):
            if skipped >= len(piece):
                skipped -= len(piece)
                continue
            waiting.append(piece[skipped:] if skipped else piece)
            length, skipped = length + len(waiting[-1]), 0
            if length >= PIECE:  # small files are sent together
                yield b"".join(waiting)
                waiting, length = [], 0
        if waiting:
            yield b"".join(waiting)

    def _first_before(self, offset: int) -> int:
        """Where the part begins in which `offset` lies: a file with its header, or the directory."""
        if offset >= self._directory_offset:
            return self._directory_offset
        return self._starts[bisect.bisect_right(self._starts, offset) - 1]

    def _pieces(self, offset: int) -> Iterator[bytes]:
        if offset < self._directory_offset:
            first = bisect.bisect_right(self._starts, offset) - 1
            for number in range(first, len(self.entries)):
                yield from self._file(number)
        yield from self._directory()

    def _file(self, number: int) -> Iterator[bytes]:
        entry = self.entries[number]
        if entry.size <= _AT_ONCE:
            content = _content(entry)
            self._checksums[number] = zlib.crc32(content)
            yield _local_header(entry, self._checksums[number])
            yield content
        else:
            yield _local_header(entry, self._checksum(number))
            yield from _blocks(entry)

    def _checksum(self, number: int) -> int:
        if number not in self._checksums:  # an earlier process has sent it
            checksum = 0
            for block in _blocks(self.entries[number]):
                checksum = zlib.crc32(block, checksum)
            self._checksums[number] = checksum
        return self._checksums[number]

    def _directory(self) -> Iterator[bytes]:
        for number, entry in enumerate(self.entries):
            extra = _directory_extra(entry)
            size = _FOUR_GIB if entry.is_big else entry.size
            start = min(_FOUR_GIB, entry.offset)
            version = 45 if extra else 20
            fields = (b"PK\1\2", version, version, _UTF8, _STORED, 0, _LONG_AGO, self._checksum(number), size, size)
            yield struct.pack("<4s6H3I5H2I", *fields, len(entry.name), len(extra), 0, 0, 0, 0, start)
            yield entry.name + extra
        yield self._end()

    def _end(self) -> bytes:
        count, length, start = len(self.entries), self._directory_length, self._directory_offset
        end = b""
        if self._is_zip64:
            end += struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, start)
            end += struct.pack("<4sIQI", b"PK\6\7", 0, start + length, 1)
            count, length, start = min(count, _MANY), min(length, _FOUR_GIB), min(start, _FOUR_GIB)
        return end + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, length, start, 0)


def _entries(folder: Path) -> Iterator[Entry]:
    """In the order of their names, whatever order the file system has."""
    offset, spelled = 0, dict[str, str]()
    for name, path in sorted(_files(folder)):
        _claim(name, path, spelled)
        try:
            status = Path(path).stat()
        except OSError as error:
            raise UploadFailed(f"{path} cannot be read: {error.strerror}.") from None
        entry = Entry(path, name.encode(), status.st_size, status.st_mtime_ns, offset)
        offset += entry.header_length + entry.size
        yield entry


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """Names inside the archive and paths on the disk. Links are followed, but never twice into the same folder."""
    pending, entered = [(str(folder), "")], {os.path.realpath(folder)}
    while pending:
        directory, prefix = pending.pop()
        try:
            found = list(os.scandir(directory))
        except OSError as error:
            raise UploadFailed(f"{directory} cannot be read: {error.strerror}.") from None
        for item in found:
            if item.name.startswith(".") or item.name in JUNK:
                continue
            name = prefix + _sendable(item.name, item.path)
            if item.is_dir():
                real = (
                    os.path.realpath(item.path)
                    if item.is_symlink()
                    else f"{os.path.realpath(directory)}{os.sep}{item.name}"
                )
                if real not in entered:
                    entered.add(real)
                    pending.append((item.path, f"{name}/"))
            elif item.is_file():
                yield name, item.path


def _claim(name: str, path: str, spelled: dict[str, str]) -> None:
    """What some file system would take for the same name the service refuses; better before a long upload."""
    if name.lower() in spelled:
        other = spelled[name.lower()]
        how = "letter case" if other != name else "how accents are encoded"
        raise UploadFailed(f"{path} and another file named '{other}' differ only in {how}. Rename one of them.")
    spelled[name.lower()] = name
    while parent := (name := name.rpartition("/")[0]):
        other = spelled.setdefault(parent.lower(), parent)
        if other != parent:
            raise UploadFailed(f"The folders '{parent}' and '{other}' differ only in letter case. Rename one of them.")


def _sendable(name: str, path: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UploadFailed(f"The name of {path!a} is no UTF-8. Rename the file.") from None
    return unicodedata.normalize("NFC", name)


def _local_header(entry: Entry, checksum: int) -> bytes:
    size = _FOUR_GIB if entry.is_big else entry.size
    extra = struct.pack("<2H2Q", 1, 16, entry.size, entry.size) if entry.is_big else b""
    version = 45 if entry.is_big else 20
    fields = (b"PK\3\4", version, _UTF8, _STORED, 0, _LONG_AGO, checksum, size, size, len(entry.name), len(extra))
    return struct.pack("<4s5H3I2H", *fields) + entry.name + extra


def _directory_extra(entry: Entry) -> bytes:
    values = [entry.size, entry.size] if entry.is_big else []
    if entry.offset >= _FOUR_GIB:
        values.append(entry.offset)
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values) if values else b""


def _content(entry: Entry) -> bytes:
    try:
        with Path(entry.path).open("rb") as file:
            content = file.read(entry.size + 1)
    except OSError as error:
        raise UploadFailed(f"{entry.path} cannot be read: {error.strerror}.") from None
    if len(content) != entry.size:
        raise _changed(entry)
    return content


def _blocks(entry: Entry) -> Iterator[bytes]:
    left = entry.size
    try:
        with Path(entry.path).open("rb") as file:
            while block := file.read(min(PIECE, left + 1)):
                left -= len(block)
                if left < 0:
                    raise _changed(entry)
                yield block
    except OSError as error:
        raise UploadFailed(f"{entry.path} cannot be read: {error.strerror}.") from None
    if left:
        raise _changed(entry)


def _changed(entry: Entry) -> UploadFailed:
    return UploadFailed(f"{entry.path} was changed while it was uploaded. Upload the folder again.")
