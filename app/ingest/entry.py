"""What every kind of archive offers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file in an archive."""

    path: str
    """Relative, checked, with forward slashes."""
    size: int
    """Bytes, unpacked. The walk holds the file to it."""


class Archive(Protocol):
    """An archive whose entries have all passed the checks."""

    entries: list[Entry]

    def walk(self, wanted: Callable[[Entry], bool]) -> Iterator[tuple[Entry, bytes]]:
        """The wanted entries with their bytes, in the archive's order, one at a time.

        Raises:
            DatasetRejected: an entry is damaged or not as large as declared.
        """
