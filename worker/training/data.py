"""Images as training reads them: decoded once into memory-mapped squares, and the order in which they come.

N images, S side of the stored square in pixels, B batch.
"""

import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.domain.dataset import DatasetIndex, Sample, Split
from app.domain.files import replaced_atomically
from app.imaging import fit_square, open_rgb

MARGIN = 1.15
"""Stored squares are this much larger than the views cut from them: crops are sharp, and sampling needs no filter."""

_DECODE_CHUNK = 64


@dataclass(frozen=True)
class Pool:
    """The images of one or more splits, in a fixed order that file names and disks do not decide."""

    samples: tuple[Sample, ...]

    @classmethod
    def of(cls, index: DatasetIndex, *splits: Split) -> "Pool":
        chosen = [sample for split in splits for sample in sorted(_in(index, split), key=lambda s: (s.id, s.path))]
        return cls(tuple(chosen))

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def labels(self) -> np.ndarray:
        """int64 [N]; −1 for unlabelled images."""
        return np.array([-1 if s.label is None else s.label for s in self.samples], dtype=np.int64)

    @property
    def keys(self) -> np.ndarray:
        """uint64 [N] from each image's content: what its random views depend on."""
        return np.array([int(s.id[:16], 16) for s in self.samples], dtype=np.uint64)


def _in(index: DatasetIndex, split: Split) -> list[Sample]:
    return [sample for sample in index.samples if sample.split is split]


def stored_side(view_side: int) -> int:
    """S for views of `view_side` pixels."""
    return math.ceil(view_side * MARGIN)


def decode_squares(
    data_dir: Path, pool: Pool, side: int, interpolation: str, path: Path, on_progress: Callable[[float], None]
) -> np.ndarray:
    """Decode each image once: resized to `side` on the short side, centre-cropped.

    Returns:
        uint8 [N, S, S, 3], read-only, memory-mapped from `path`; an existing complete file is reused.

    Raises:
        OSError: an image is gone.
        app.imaging.UnreadableImage: an image cannot be decoded (an imported data set has none such).
    """
    shape = (len(pool), side, side, 3)
    marker = path.with_suffix(".json")
    wanted = json.dumps({"shape": shape, "interpolation": interpolation, "ids": [s.id for s in pool.samples]})
    if not (marker.is_file() and path.is_file() and marker.read_text() == wanted):
        path.parent.mkdir(parents=True, exist_ok=True)
        squares = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)

        def decode(row: int) -> None:
            squares[row] = fit_square(open_rgb(data_dir / pool.samples[row].path), side, interpolation)

        # Pillow decodes and resizes outside the interpreter's lock, so threads use all cores
        with ThreadPoolExecutor() as executor:
            for start in range(0, len(pool), _DECODE_CHUNK):
                list(executor.map(decode, range(start, min(start + _DECODE_CHUNK, len(pool)))))
                on_progress(min(start + _DECODE_CHUNK, len(pool)) / len(pool))
        squares.flush()
        del squares
        with replaced_atomically(marker) as temporary:
            temporary.write_text(wanted)
    return np.load(path, mmap_mode="r")


class Batches:
    """The order of a run: an endless stream of shuffled passes, cut into batches.

    Batch `step` depends on (seed, step) alone, so a resumed run sees what the uninterrupted one would have seen.
    In its pass number e an image shows its view e.
    """

    def __init__(self, rows: Sequence[int] | np.ndarray, batch_size: int, seed: int) -> None:
        assert 0 < batch_size <= len(rows)
        self.rows = np.asarray(rows, dtype=np.int64)
        self.batch_size = batch_size
        self.seed = seed
        self._pass = -1
        self._order = self.rows

    def at(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns rows [B] and the view of each [B], both int64."""
        count = len(self.rows)
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        passes = positions // count
        rows = np.empty(self.batch_size, dtype=np.int64)
        for number in np.unique(passes):
            inside = passes == number
            rows[inside] = self._shuffled(int(number))[positions[inside] % count]
        return rows, passes

    def _shuffled(self, number: int) -> np.ndarray:
        if number != self._pass:
            self._order = np.random.default_rng([self.seed, number]).permutation(self.rows)
            self._pass = number
        return self._order
