"""zip, through the standard library, which of its own accord checks neither overlaps nor sizes, and takes names that do
not say their encoding for code page 437."""

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
from app.ingest.names import NameCheck, rejected, shown
from app.reading.encodings import guess
from app.reading.listing import Given

_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""The standard library unpacks the others (bzip2, LZMA) a chunk at a time, whatever the chunk swells to."""
_ENCRYPTED, _UTF8 = 0x1, 0x800
_UNICODE_PATH = b"up"
_MOST_NOTES = 20
_LOCAL_HEADER = struct.Struct("<4s22x2H")
"""Signature, lengths of the name and of the extra field (APPNOTE 4.3.7)."""
_CHUNK = 2**16
_DIRECTORY_BYTES_PER_ENTRY = 160
"""The table of contents is read as a whole: refuse one that could not belong to an archive within the limits."""
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, UnicodeDecodeError, NotImplementedError, OSError)
_UPLOAD_AGAIN = "Check it with `unzip -t` and upload it again."


class ZipArchive:
    """See `Archive`. The checks run in the constructor."""

    def __init__(self, path: Path, limits: Limits, encoding: str | None = None) -> None:
        """`encoding`: of the names, as the archive's owner says."""
        self._path = path
        self._infos: list[zipfile.ZipInfo] = []
        self.entries: list[Entry] = []
        self.folders: list[str] = []
        self.notes: list[str] = []
        self.given: list[Given] = []
        self._encoding = encoding
        try:
            with _BoundedReads(path, limits) as file, zipfile.ZipFile(file) as archive:
                _check_overlaps(file, archive)
                self._check(archive, path.stat().st_size, limits)
        except _DAMAGED:
            raise DatasetRejected("The zip archive is damaged or incomplete.", hint=_UPLOAD_AGAIN) from None

    def _check(self, archive: zipfile.ZipFile, archive_bytes: int, limits: Limits) -> None:
        meter, names = Meter(archive_bytes, limits), NameCheck()
        read_name = self._names(archive.infolist())
        for info in archive.infolist():
            name = read_name(info)
            meter.entry()
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise rejected(name, "is a link or a device, not a file")
            if info.flag_bits & _ENCRYPTED:
                raise rejected(name, "is encrypted", "Pack the folder without a password.")
            if name.endswith(("/", "\\")):
                self.folders.append(names.folder(name))
                continue
            if info.compress_type not in _METHODS:
                raise rejected(name, "is compressed by an unsupported method", "Use the ordinary one, deflate.")
            meter.unpacked(info.file_size)
            path = names.file(name, (info.CRC, info.file_size))
            if path is None:
                self.notes.append(f"{shown(name)} is there twice with the same content; one was used.")
                continue
            self.entries.append(Entry(path, info.file_size))
            self._infos.append(info)
        if len(self.notes) > _MOST_NOTES:
            self.notes[_MOST_NOTES:] = [f"{len(self.notes) - _MOST_NOTES} more files are there twice."]

    def _names(self, infos: list[zipfile.ZipInfo]) -> Callable[[zipfile.ZipInfo], str]:
        """How names are read: by what the entry says, else as UTF-8, else in the encoding that was named or that fits
        all of them best.

        Raises:
            DatasetRejected: they are not in the encoding that was named.
        """
        unsaid = [raw for info in infos if (raw := _raw_name(info)) is not None]
        if not unsaid:
            return _name
        if self._encoding is not None:
            encoding = self._encoding
            for raw in unsaid:
                try:
                    raw.decode(encoding)
                except UnicodeDecodeError:
                    raise rejected(
                        raw.decode("cp437"),
                        f"has a name that is not in {encoding}",
                        "Name another `encoding`, or none.",
                    ) from None
            self.notes.append(f"Names that do not say their encoding were read as {encoding}, as you say.")
        else:
            found = guess(unsaid)
            if found is None:
                return _name
            encoding = found.encoding
            also = "".join(f"; it could also be {other} ({shown(text)})" for other, text in found.rivals[:2])
            self.notes.append(
                f"The archive does not say in which encoding its names are; they were read as {encoding}, the one that "
                f"gives the most common characters, such as {shown(found.example)}{also}. If that is wrong, upload it "
                "again with its `encoding`."
            )

        def read(info: zipfile.ZipInfo) -> str:
            raw = _raw_name(info)
            return _name(info) if raw is None else raw.decode(encoding)

        return read

    def walk(self, wanted: Callable[[Entry], bool]) -> Iterator[tuple[Entry, bytes]]:
        with zipfile.ZipFile(self._path) as archive:
            for entry, info in zip(self.entries, self._infos, strict=True):
                if wanted(entry):
                    yield entry, _read(archive, info, entry)

    def copy(self, path: str, target: Path) -> None:
        with zipfile.ZipFile(self._path) as archive, target.open("wb") as file:
            for entry, info in zip(self.entries, self._infos, strict=True):
                if entry.path == path:
                    for chunk in _chunks(archive, info, entry):
                        file.write(chunk)


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
    """The name as stored, or as an extra field says it in UTF-8. Without the UTF-8 flag zip means code page 437, but
    macOS writes UTF-8 all the same."""
    said = _unicode_name(info)
    if said is not None:
        return said
    name = info.orig_filename
    if not info.flag_bits & _UTF8:
        try:
            return name.encode("cp437").decode()
        except UnicodeDecodeError:
            pass
    return name


def _raw_name(info: zipfile.ZipInfo) -> bytes | None:
    """The bytes of a name whose encoding is not known; None where it is."""
    if info.flag_bits & _UTF8 or info.orig_filename.isascii() or _unicode_name(info) is not None:
        return None
    raw = info.orig_filename.encode("cp437")
    try:
        raw.decode()
    except UnicodeDecodeError:
        return raw
    return None


def _unicode_name(info: zipfile.ZipInfo) -> str | None:
    """From Info-ZIP's Unicode Path Extra Field: version, CRC of the name that it stands for, the name in UTF-8."""
    if info.flag_bits & _UTF8 or _UNICODE_PATH not in info.extra:
        return None
    extra = info.extra
    while len(extra) >= 4:
        kind, length = struct.unpack("<2sH", extra[:4])
        body, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == _UNICODE_PATH and len(body) > 5 and body[0] == 1:
            if struct.unpack("<L", body[1:5])[0] != zlib.crc32(info.orig_filename.encode("cp437", "replace")):
                return None
            try:
                return body[5:].decode()
            except UnicodeDecodeError:
                return None
    return None


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, entry: Entry) -> Iterator[bytes]:
    """The bytes of one entry; never more than declared, since `ZipExtFile` stops there and then compares the CRC."""
    size = 0
    try:
        with archive.open(info) as file:
            while chunk := file.read(_CHUNK):
                size += len(chunk)
                yield chunk
    except _DAMAGED:
        raise rejected(entry.path, "is damaged", _UPLOAD_AGAIN) from None
    if size != entry.size:
        raise rejected(entry.path, "is not as large as the archive says", _UPLOAD_AGAIN)


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, entry: Entry) -> bytes:
    return b"".join(_chunks(archive, info, entry))
