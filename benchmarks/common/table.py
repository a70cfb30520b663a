"""Arithmetic over seeds, and tables in Markdown. Differences are paired: a seed's draw is the same for all methods."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # at run time it would bring torch, which a table does not need
    from benchmarks.common.cells import Line

Seeds = Mapping[int, float]
"""A figure by seed."""
NOTHING = "–"


def by_seed(lines: "Iterable[Line]", name: str = "student_accuracy") -> Seeds:
    """A field of the lines by seed, in the order of the seeds; lines without it are left out."""
    found = {line["seed"]: line[name] for line in lines if line.get(name) is not None}
    return dict(sorted(found.items()))


def over_sets(columns: Sequence[Seeds]) -> Seeds:
    """The mean over data sets, for those seeds that all of them have."""
    common = set.intersection(*(set(column) for column in columns)) if columns else set()
    return {seed: statistics.mean(column[seed] for column in columns) for seed in sorted(common)}


def paired(these: Seeds, others: Seeds) -> list[float]:
    """The difference of each seed that both have."""
    return [these[seed] - others[seed] for seed in these if seed in others]


def gap_closed(student: Seeds, scratch: Seeds, probe: Seeds, least: float = 0.0) -> float | None:
    """(student − scratch) / (probe − scratch), of the means over those seeds that all three have.

    None without such a seed, or where the probe is not better than scratch by more than `least`: then there is no gap.
    """
    common = student.keys() & scratch.keys() & probe.keys()
    if not common:
        return None
    means = [statistics.mean(figures[seed] for seed in common) for figures in (student, scratch, probe)]
    gap = means[2] - means[1]
    return (means[0] - means[1]) / gap if gap > least else None


def spread(figures: Seeds) -> str:
    """Mean (least – most), in per cent."""
    if not figures:
        return NOTHING
    values = list(figures.values())
    mean = f"{100 * statistics.mean(values):.1f} %"
    return mean if len(values) == 1 else f"{mean} ({100 * min(values):.1f} – {100 * max(values):.1f})"


def differences(values: Sequence[float]) -> str:
    """Mean (each), in points."""
    if not values:
        return NOTHING
    mean = f"{100 * statistics.mean(values):+.1f}"
    return mean if len(values) == 1 else f"{mean} ({', '.join(f'{100 * value:+.1f}' for value in values)})"


def mean_seconds(lines: "Iterable[Line]") -> str:
    """Of the cells that were timed; the process of another was paused."""
    seconds = [line["seconds"] for line in lines if line["seconds"] is not None]
    return f"{statistics.mean(seconds):.0f}" if seconds else NOTHING


def seconds(lines: "Iterable[Line]", name: str) -> str:
    """Mean (min – max) of those lines that have them."""
    values = [line[name] for line in lines if line.get(name) is not None]
    if not values:
        return NOTHING
    mean = f"{statistics.mean(values):.0f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.0f} – {max(values):.0f})"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))
