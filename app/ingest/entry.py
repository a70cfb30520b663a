"""What every kind of archive offers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.reading.listing import Given


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file in an archive."""

    path: str
    """Relative, checked, with forward slashes, in NFC; no other entry has it."""
    size: int
    """Bytes, unpacked. The walk holds the file to it."""


class Archive(Protocol):
    """An archive whose entries have all passed the checks."""

    entries: list[Entry]
    folders: list[str]
    """Those that the archive names, also empty ones."""
    notes: list[str]
    """Sentences about how its names were read, for a person."""
    given: list[Given]
    """Labels that came with the images."""

    def walk(self, wanted: Callable[[Entry], bool]) -> Iterator[tuple[Entry, bytes]]:
        """The wanted entries with their bytes, in the archive's order, one at a time.

        Raises:
            DatasetRejected: an entry is damaged or not as large as declared.
        """

    def copy(self, path: str, target: Path) -> None:
        """Write one entry to a file, in pieces.

        Raises:
            DatasetRejected: as `walk`.
        """
