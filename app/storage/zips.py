"""A zip made while it is read: stored, so that its size is known before, and always of the same bytes.

The standard library writes it. zipstream-ng, made for this, gives streamed members the present time (1.9), so no two
downloads would be alike and none could be resumed. A member's checksum stands behind its bytes, as the format allows
for output that cannot be gone back in.
"""

import hashlib
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from zipfile import ZipFile, ZipInfo

LAYOUT = 1
"""Change it with anything that changes the bytes around the members."""
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""What every member is dated: the format knows no time before, and which one it is must not depend on when one asks."""
_PERMISSIONS = 0o644
_DESCRIPTOR, _DESCRIPTOR_64 = 16, 24
_ENTRY, _END, _END_64 = 46, 22, 56 + 20
_MOST_ENTRIES = 0xFFFF
_ESTIMATE = 1.05
"""From which share of the limit on `zipfile` takes the form for large members."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of it."""

    name: str
    """With forward slashes."""
    bytes: int
    sha256: str


def fingerprint(members: Sequence[Member]) -> str:
    """Equal for equal bytes, without reading any."""
    python = sys.version_info[:2]  # whose zipfile writes it
    told = [f"{LAYOUT} {python}", *(f"{member.sha256} {member.bytes} {member.name}" for member in members)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def size(members: Sequence[Member]) -> int:
    """Bytes of the whole, without reading any."""
    offset, directory = 0, 0
    for member in members:
        entry = _entry(member)
        large = member.bytes * _ESTIMATE > zipfile.ZIP64_LIMIT
        fields = 2 * (member.bytes > zipfile.ZIP64_LIMIT) + (offset > zipfile.ZIP64_LIMIT)
        directory += _ENTRY + len(member.name.encode()) + (4 + 8 * fields if fields else 0)
        offset += len(entry.FileHeader(large)) + member.bytes + (_DESCRIPTOR_64 if large else _DESCRIPTOR)
    large = len(members) > _MOST_ENTRIES or max(offset, directory) > zipfile.ZIP64_LIMIT
    return offset + directory + _END + (_END_64 if large else 0)


def write(members: Sequence[Member], content: Callable[[Member], Iterator[bytes]]) -> Iterator[bytes]:
    """The bytes, in pieces about as large as those of `content`, which is asked for each member when its turn comes.

    Raises:
        ValueError: if a member has other bytes than it was said to have; what was given until then is no zip.
    """
    sink = _Sink()
    with ZipFile(sink, "w") as archive:  # type: ignore[call-overload]  # it needs no more of a file than this
        for member in members:
            written = 0
            with archive.open(_entry(member), "w") as target:
                for piece in content(member):
                    written += target.write(piece)
                    yield sink.take()
            if written != member.bytes:
                raise ValueError(f"{member.name} has another size than was published")
            yield sink.take()
    yield sink.take()


def _entry(member: Member) -> ZipInfo:
    entry = ZipInfo(member.name, EARLIEST)
    entry.create_system = 3  # Unix, whose permissions follow
    entry.external_attr = _PERMISSIONS << 16
    entry.file_size, entry.CRC = member.bytes, 0
    return entry


class _Sink:
    """A file that can neither seek nor tell, and gives away what is in it."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
