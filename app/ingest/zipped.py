"""zip, through the standard library, which of its own accord checks neither overlaps nor sizes."""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from app.domain.errors import DatasetRejected
from app.ingest.entry import Entry
from app.ingest.limits import Limits, Meter
from app.ingest.names import NameCheck, rejected

_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""The standard library unpacks the others (bzip2, LZMA) a chunk at a time, whatever the chunk swells to."""
_ENCRYPTED, _UTF8 = 0x1, 0x800
_LOCAL_HEADER = struct.Struct("<4s22x2H")
"""Signature, lengths of the name and of the extra field (APPNOTE 4.3.7)."""
_CHUNK = 2**16
_DIRECTORY_BYTES_PER_ENTRY = 160
"""The table of contents is read as a whole: refuse one that could not belong to an archive within the limits."""
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, UnicodeDecodeError, NotImplementedError, OSError)
_UPLOAD_AGAIN = "Check it with `unzip -t` and upload it again."


class ZipArchive:
    """See `Archive`. The checks run in the constructor."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._infos: list[zipfile.ZipInfo] = []
        self.entries: list[Entry] = []
        try:
            with _BoundedReads(path, limits) as file, zipfile.ZipFile(file) as archive:
                _check_overlaps(file, archive)
                self._check(archive, path.stat().st_size, limits)
        except _DAMAGED:
            raise DatasetRejected("The zip archive is damaged or incomplete.", hint=_UPLOAD_AGAIN) from None

    def _check(self, archive: zipfile.ZipFile, archive_bytes: int, limits: Limits) -> None:
        meter, names = Meter(archive_bytes, limits), NameCheck()
        for info in archive.infolist():
            name = _name(info)
            meter.entry()
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise rejected(name, "is a link or a device, not a file")
            if info.flag_bits & _ENCRYPTED:
                raise rejected(name, "is encrypted", "Pack the folder without a password.")
            if name.endswith("/"):
                names.folder(name)
                continue
            if info.compress_type not in _METHODS:
                raise rejected(name, "is compressed by an unsupported method", "Use the ordinary one, deflate.")
            meter.unpacked(info.file_size)
            self.entries.append(Entry(names.file(name), info.file_size))
            self._infos.append(info)

    def walk(self, wanted: Callable[[Entry], bool]) -> Iterator[tuple[Entry, bytes]]:
        with zipfile.ZipFile(self._path) as archive:
            for entry, info in zip(self.entries, self._infos, strict=True):
                if wanted(entry):
                    yield entry, _read(archive, info, entry)


class _BoundedReads(io.BufferedReader):
    """A file that refuses to be read in one piece larger than any honest table of contents."""

    def __init__(self, path: Path, limits: Limits) -> None:
        super().__init__(io.FileIO(path))
        self._limits = limits

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _CHUNK + _DIRECTORY_BYTES_PER_ENTRY * self._limits.max_members:
            raise DatasetRejected(
                f"The archive has more than {self._limits.max_members} entries, or extremely long names.",
                hint="Split the data set.",
            )
        return super().read(size)


def _check_overlaps(file: io.BufferedReader, archive: zipfile.ZipFile) -> None:
    """Entries that share bytes let a small file unpack without end (Fifield, "A better zip bomb", 2019)."""
    end = 0
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        if info.header_offset < 0:  # bytes are missing in front
            raise zipfile.BadZipFile
        if info.header_offset < end:
            raise rejected(_name(info), "overlaps with another one")
        file.seek(info.header_offset)
        signature, name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        if signature != b"PK\x03\x04":
            raise zipfile.BadZipFile
        end = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length + info.compress_size
    if end > archive.start_dir:
        raise zipfile.BadZipFile


def _name(info: zipfile.ZipInfo) -> str:
    """The name as stored. Without the UTF-8 flag zip means code page 437, but macOS writes UTF-8 all the same."""
    name = info.orig_filename
    if not info.flag_bits & _UTF8:
        try:
            return name.encode("cp437").decode()
        except UnicodeDecodeError:
            pass
    return name


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, entry: Entry) -> bytes:
    """The bytes of one entry; never more than declared, since `ZipExtFile` stops there and then compares the CRC."""
    try:
        with archive.open(info) as file:
            data = b"".join(iter(lambda: file.read(_CHUNK), b""))
    except _DAMAGED:
        raise rejected(entry.path, "is damaged", _UPLOAD_AGAIN) from None
    if len(data) != entry.size:
        raise rejected(entry.path, "is not as large as the archive says", _UPLOAD_AGAIN)
    return data
