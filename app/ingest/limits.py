"""How much an archive may ask of the import."""

from dataclasses import dataclass

from app.domain.errors import DatasetRejected
from app.imaging import MAX_PIXELS

RATIO_FLOOR_BYTES = 2**20
"""Below this the ratio says nothing: a few flat drawings compress well and harm nobody."""


@dataclass(frozen=True)
class Limits:
    max_members: int = 1_000_000
    """Entries of the archive, folders included; and lines of a file of labels, since each names another entry."""
    max_classes: int = 10_000
    """Of the data set."""
    max_unpacked_bytes: int = 100 * 2**30
    """Sum of all entries, unpacked."""
    max_ratio: int = 100
    """Unpacked bytes over the archive's own size. Photographs hardly compress, a bomb does a thousandfold."""
    max_image_pixels: int = MAX_PIXELS
    """A larger image is skipped."""
    max_file_bytes: int = 128 * 2**20
    """A larger file is skipped: each file is held in memory once, a few at a time."""


class Meter:
    """Counts what an archive unpacks to, and stops it at the limits. Headers are never trusted with this."""

    def __init__(self, archive_bytes: int, limits: Limits) -> None:
        self._limits = limits
        self._ratio_bytes = max(RATIO_FLOOR_BYTES, archive_bytes * limits.max_ratio)
        self._entries = 0
        self._bytes = 0

    def entry(self) -> None:
        """
        Raises:
            DatasetRejected: too many entries.
        """
        self._entries += 1
        if self._entries > self._limits.max_members:
            raise DatasetRejected(
                f"The archive has more than {self._limits.max_members} entries.", hint="Split the data set."
            )

    def unpacked(self, size: int) -> None:
        """
        Raises:
            DatasetRejected: too many bytes, or far more than the archive itself has.
        """
        self._bytes += size
        if self._bytes > self._limits.max_unpacked_bytes:
            raise DatasetRejected(
                f"The archive unpacks to more than {self._limits.max_unpacked_bytes} bytes.",
                hint="Scale the images down, or split the data set.",
            )
        if self._bytes > self._ratio_bytes:
            raise DatasetRejected(
                f"The archive unpacks to more than {self._limits.max_ratio} times its own size.",
                hint="Pack the images as JPEG or PNG; photographs do not compress like that.",
            )
