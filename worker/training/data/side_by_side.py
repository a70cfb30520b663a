"""Records that read like an array: of one store, or of several side by side.

N images, B batch, W width of one of several.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np


class Readable(Protocol):
    """Records of images, in the order asked for. Reads like an array of shape [N, …]."""

    @property
    def key(self) -> str:
        """The address of what decides them."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray: ...

    def take(self, rows_B: np.ndarray, views_B: np.ndarray | None = None) -> np.ndarray:
        """Copies of these rows [B, …] or, where a record is [V, …], of one view of each."""

    def pieces(self, rows: int) -> Iterator[np.ndarray]:
        """All records in order, `rows` at a time."""

    def view(self, ids: Sequence[str]) -> "Readable":
        """Records of these images, of the same kind, all of which are here."""


class SideBySide:
    """Records of the same images from several stores, each behind the one before: [N, …, ΣW]."""

    def __init__(self, parts: Sequence[Readable]) -> None:
        self._parts = parts

    @property
    def key(self) -> str:
        return " ".join(part.key for part in self._parts)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self._parts[0].shape[:-1], sum(part.shape[-1] for part in self._parts))

    def __len__(self) -> int:
        return len(self._parts[0])

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return np.concatenate([part[rows] for part in self._parts], -1)

    def take(self, rows_B: np.ndarray, views_B: np.ndarray | None = None) -> np.ndarray:
        return np.concatenate([part.take(rows_B, views_B) for part in self._parts], -1)

    def pieces(self, rows: int) -> Iterator[np.ndarray]:
        for pieces in zip(*(part.pieces(rows) for part in self._parts), strict=True):
            yield np.concatenate(pieces, -1)

    def view(self, ids: Sequence[str]) -> "SideBySide":
        return SideBySide([part.view(ids) for part in self._parts])
