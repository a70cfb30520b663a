"""Images as training reads them: decoded once into squares, and the order in which they come.

N images, S side of the stored square in pixels, B batch.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import PIL

from app.domain.dataset import DatasetIndex, Sample, Split
from app.imaging import UnreadableImage, fit_square, open_rgb
from worker.training.data.cache import Cache, Description
from worker.training.data.records import Records, RecordStore

_DECODE_CHUNK = 64
_SQUARE_VERSION = 1
"""To be raised when `fit_square` gives other bytes for an image: squares decoded before are then not taken for new."""
_ROUNDS = 2**31
"""Apart from every class's number."""


@dataclass(frozen=True)
class Pool:
    """The images of one or more splits, in a fixed order that file names and disks do not decide."""

    samples: tuple[Sample, ...]

    @classmethod
    def from_splits(cls, index: DatasetIndex, *splits: Split) -> "Pool":
        chosen = [sample for split in splits for sample in sorted(_in(index, split), key=lambda s: (s.id, s.path))]
        return cls(tuple(chosen))

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def labels(self) -> np.ndarray:
        """int64 [N]; −1 for unlabelled images."""
        return np.array([-1 if s.label is None else s.label for s in self.samples], dtype=np.int64)

    @property
    def ids(self) -> list[str]:
        """SHA-256 of each image's bytes."""
        return [s.id for s in self.samples]

    @cached_property
    def keys(self) -> np.ndarray:
        """uint64 [N] from each image's content: what its random views depend on."""
        return np.array([int(s.id[:16], 16) for s in self.samples], dtype=np.uint64)


def _in(index: DatasetIndex, split: Split) -> list[Sample]:
    return [sample for sample in index.samples if sample.split is split]


def decode(data_dir: Path, samples: Sequence[Sample], side: int, interpolation: str) -> np.ndarray:
    """Clean squares of these images: resized to `side` on the short side, centre-cropped; uint8 [B, S, S, 3].

    Raises:
        OSError: an image is gone.
        app.imaging.UnreadableImage: an image cannot be decoded (an imported data set has none such).
    """

    def one(sample: Sample) -> np.ndarray:
        content = (data_dir / sample.path).read_bytes()
        # the square will serve every job that knows this content: it must be this content's
        if hashlib.sha256(content).hexdigest() != sample.sha256:
            raise UnreadableImage("its bytes are no longer those of the data set")
        return fit_square(open_rgb(content), side, interpolation)

    # Pillow decodes and resizes outside the interpreter's lock, so threads use all cores
    with ThreadPoolExecutor() as executor:
        return np.stack(list(executor.map(one, samples)))


def square_description(side: int, interpolation: str) -> Description:
    """What, beside an image's content, decides its clean square."""
    return {
        "kind": "square",
        "side": side,
        "interpolation": interpolation,
        "version": _SQUARE_VERSION,
        "pillow": PIL.__version__,
    }


def square_store(cache: Cache, side: int, interpolation: str) -> RecordStore:
    return cache.store(square_description(side, interpolation), (side, side, 3), np.uint8)


def decode_squares(
    data_dir: Path,
    pool: Pool,
    side: int,
    interpolation: str,
    cache: Cache,
    on_progress: Callable[[float], None],
    stop_requested: Callable[[], bool] = lambda: False,
) -> Records:
    """Decode each image once for all jobs of the host: uint8 [N, S, S, 3], read from disk as they are wanted.

    Raises:
        Stopped: a stop was requested; the squares done so far are kept.
        OSError, app.imaging.UnreadableImage: as `decode`.
    """
    return square_store(cache, side, interpolation).fill(
        pool.ids,
        lambda rows: decode(data_dir, [pool.samples[row] for row in rows], side, interpolation),
        at_once=_DECODE_CHUNK,
        on_progress=on_progress,
        stop_requested=stop_requested,
    )


class Batches:
    """The order of a run: an endless stream of shuffled passes, cut into batches.

    Batch `step` depends on (seed, step) alone, so a resumed run sees what the uninterrupted one would have seen.
    In its pass number e an image shows its view e.

    With `labels_N` (−1 for none) the labelled places of a pass are filled anew: classes take turns in shuffled rounds,
    and within a class its images do. Every class is then shown equally often, the unlabelled share stays what it is,
    and an image shows its view e when it is drawn for the e-th time, counted from 0.
    """

    def __init__(
        self, rows: Sequence[int] | np.ndarray, batch_size: int, seed: int, labels_N: np.ndarray | None = None
    ) -> None:
        assert batch_size > 0
        self.rows = np.asarray(rows, dtype=np.int64)
        self.batch_size = batch_size
        self.seed = seed
        self._labelled_N = np.zeros(len(self.rows), bool) if labels_N is None else labels_N >= 0
        self._members = (
            []
            if labels_N is None
            else [self.rows[labels_N == label] for label in np.unique(labels_N[self._labelled_N])]
        )
        self._pass = -1
        self._order = self._visits = self.rows

    def at(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns rows [B] and the view of each [B], both int64."""
        count = len(self.rows)
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        passes = positions // count
        rows, visits = (np.empty(self.batch_size, dtype=np.int64) for _ in range(2))
        for number in np.unique(passes):
            inside = passes == number
            self._go_to(int(number))
            rows[inside] = self._order[positions[inside] % count]
            visits[inside] = self._visits[positions[inside] % count]
        return rows, visits

    def _go_to(self, number: int) -> None:
        if number == self._pass:
            return
        places = np.random.default_rng([self.seed, number]).permutation(len(self.rows))
        self._order, self._visits = self.rows[places], np.full(len(places), number)
        if self._members:
            labelled = self._labelled_N[places]
            self._order[labelled], self._visits[labelled] = self._in_turn(number, int(labelled.sum()))
        self._pass = number

    def _in_turn(self, number: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The pass's part of the endless turns: rows [count], and how often each was drawn before."""
        turns = np.arange(number * count, (number + 1) * count)
        rows, visits = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
        rounds = turns // len(self._members)  # each round has every class once
        orders = {r: self._permuted(_ROUNDS, int(r), len(self._members)) for r in np.unique(rounds)}
        classes = np.array([orders[r][turn % len(self._members)] for r, turn in zip(rounds, turns, strict=True)])
        for number_of_class, members in enumerate(self._members):
            mine = classes == number_of_class
            laps, places = np.divmod(rounds[mine], len(members))
            orders = {lap: self._permuted(number_of_class, int(lap), len(members)) for lap in np.unique(laps)}
            rows[mine] = [members[orders[lap][place]] for lap, place in zip(laps, places, strict=True)]
            visits[mine] = laps
        return rows, visits

    def _permuted(self, what: int, number: int, count: int) -> np.ndarray:
        return np.random.default_rng([self.seed, number, what]).permutation(count)


class WithLabels:
    """Batches whose last places are taken by labelled images: where few images carry a label, most batches have few."""

    def __init__(self, batches: Batches, labelled: Batches) -> None:
        assert labelled.batch_size == batches.batch_size
        self.batches = batches
        self.labelled = labelled

    def at(self, step: int, places: int) -> tuple[np.ndarray, np.ndarray]:
        """As `Batches.at`, with at least `places` labelled images."""
        rows, visits = self.batches.at(step)
        if places:
            labelled, theirs = self.labelled.at(step)
            rows[-places:], visits[-places:] = labelled[:places], theirs[:places]
        return rows, visits
