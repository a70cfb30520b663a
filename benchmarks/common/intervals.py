"""Intervals of differences between two rows of a table, from which image each cell had right."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks.common.table import NOTHING, by_seed, differences, over_sets, paired

if TYPE_CHECKING:  # at run time it would bring torch, which a table does not need
    from benchmarks.common.cells import Line

Right = Mapping[int, npt.NDArray[np.bool_]]
"""By seed: which of the N judged images are answered rightly, [N]."""
RESAMPLES = 4_000
COVERED = 0.95


def difference(
    pairs: "Sequence[tuple[Sequence[Line], Sequence[Line]]]", who: tuple[str, str] = ("student",) * 2
) -> str:
    """Mean [95 % interval] of "first − second" in points, over the data sets that the pairs of lines are of.

    Args:
        who: whose answers are compared, of the first lines and of the second: `student`, `teacher` or `probe`.

    Returns:
        Mean (each seed's) where some of the lines are of before single answers were kept.
    """
    sides = list(zip(*pairs, strict=True))
    figures = [[by_seed(lines, f"{one}_accuracy") for lines in side] for side, one in zip(sides, who, strict=False)]
    answers = [[right_by_seed(lines, one) for lines in side] for side, one in zip(sides, who, strict=False)]
    per_set = [paired(*both) for both in zip(*figures, strict=True)]
    of_answers = list(zip(*answers, strict=True))
    if not per_set or not all(per_set):
        return NOTHING
    if [len(ours.keys() & others.keys()) for ours, others in of_answers] != list(map(len, per_set)):
        return differences(paired(*map(over_sets, figures)))
    mean, found = statistics.mean(map(statistics.mean, per_set)), interval(of_answers)
    assert found is not None
    return f"{100 * mean:+.1f} [{100 * found[0]:+.1f}, {100 * found[1]:+.1f}]"


def right_by_seed(lines: "Iterable[Line]", who: str = "student") -> Right:
    """Of `student`, `teacher` or `probe`; lines of before answers were kept, and of runs without one, are left out."""
    return {line["seed"]: unpacked(line["right"][who]) for line in lines if who in (line.get("right") or {})}


def unpacked(right: str) -> npt.NDArray[np.bool_]:
    """The bits that a benchmark's line has as hexadecimal after a leading 1, [N]."""
    return np.array([bit == "1" for bit in f"{int(right, 16):b}"[1:]])


def interval(sets: Sequence[tuple[Right, Right]]) -> tuple[float, float] | None:
    """Of the mean difference "first − second" over data sets, covering 95 %: bootstrap over images and over seeds.

    Each resample draws images and, apart from them, seeds, with replacement, for each set of its own; both rows have
    the same draws, so what they share cancels out (the "pigeonhole" bootstrap of crossed factors, Owen 2007).
    With few seeds it is somewhat too narrow.

    Returns:
        Its lower and upper end; None where a set has no seed that both rows have.
    """
    differences = [_differences(*both) for both in sets]
    if not differences or any(len(one) == 0 for one in differences):
        return None
    generator = np.random.default_rng(0)
    drawn = np.mean([_resampled(one, generator) for one in differences], axis=0)
    outside = 100 * (1 - COVERED) / 2
    low, high = np.percentile(drawn, [outside, 100 - outside])
    return float(low), float(high)


def _differences(these: Right, others: Right) -> npt.NDArray[np.float64]:
    """[S, N], of the S seeds that both have: 1, 0 or −1."""
    pairs = [(these[seed], others[seed]) for seed in sorted(these) if seed in others]
    return np.array([first.astype(np.float64) - second for first, second in pairs])


def _resampled(differences_SN: npt.NDArray[np.float64], generator: Any) -> npt.NDArray[np.float64]:
    """The mean of each resample, [R]."""
    seeds, images = differences_SN.shape
    seeds_RS = generator.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    images_RN = generator.multinomial(images, np.full(images, 1 / images), RESAMPLES) / images
    means: npt.NDArray[np.float64] = ((seeds_RS @ differences_SN) * images_RN).sum(axis=1)
    return means
