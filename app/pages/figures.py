"""Where the parts of a figure stand, for the templates that draw it as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.evaluation import Evaluation, PredictorScores
from app.domain.manifest import Manifest
from app.domain.model_selection import Candidate, Comparison, Constraints, mark_front

MATRIX_SHOWN = 40
"""Classes of a confusion matrix that fits on a page; with more, its most frequent confusions are listed instead."""


LINE, LETTER = 14.0, 7.5
"""Pixels of a label in the chart of latencies: between two lines, and of a letter at most."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A file in the chart of accuracy over latency."""

    x: float
    y: float
    file: Candidate
    role: str
    label_x: float
    label_y: float
    anchor: str


@dataclass(frozen=True, slots=True)
class Tradeoff:
    """Accuracy over latency of all timed files, and what was demanded of them."""

    width: float
    height: float
    left: float
    bottom: float
    dots: Sequence[Dot]
    front: str
    """The points of the line through those that no other beats."""
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    latency_limit: float | None
    accuracy_limit: float | None


def tradeoff(comparison: Comparison, constraints: Constraints | None, chosen: str | None) -> Tradeoff | None:
    """None where nothing was timed."""
    files = [file for file in comparison.files if file.latency_ms]
    if not files:
        return None
    width, height, left, bottom = 560.0, 280.0, 52.0, 40.0
    slow = constraints.max_latency_ms if constraints else None
    least = constraints.min_accuracy if constraints else None
    latencies = [file.latency_ms or 0.0 for file in files] + ([slow] if slow else [])
    accuracies = [file.accuracy for file in files] + ([least] if least else [])
    x_low, x_high = math.log(min(latencies) / 1.3), math.log(max(latencies) * 1.3)
    y_low, y_high = _around(accuracies)

    def x(latency: float) -> float:
        return round(left + (width - left - 90) * (math.log(latency) - x_low) / (x_high - x_low), 1)

    def y(accuracy: float) -> float:
        return round(14 + (height - bottom - 14) * (y_high - accuracy) / (y_high - y_low), 1)

    dots: list[Dot] = []
    taken: list[tuple[float, float, float]] = []
    for file in files:
        place, top = x(file.latency_ms or 0.0), y(file.accuracy)
        role = "chosen" if file.file == chosen else "best" if file.pareto else ""
        long, to_left = LETTER * len(file.file), place > width - 150
        left_end, right_end = (place - 9 - long, place - 9) if to_left else (place + 9, place + 9 + long)
        label_y = top + 4
        while any(abs(label_y - at) < LINE and begin < right_end and left_end < end for at, begin, end in taken):
            label_y += LINE  # under the label that would be in its way
        taken.append((label_y, left_end, right_end))
        at = right_end if to_left else left_end
        dots.append(Dot(place, top, file, role, at, label_y, "end" if to_left else "start"))
    front = sorted(((dot.x, dot.y) for dot in dots if dot.file.pareto), key=lambda at: at[0])
    return Tradeoff(
        width,
        height,
        left,
        height - bottom,
        dots,
        " ".join(f"{a},{b}" for a, b in front),
        [Tick(x(value), f"{value:g}") for value in _log_ticks(math.exp(x_low), math.exp(x_high))],
        [Tick(y(value), f"{100 * value:g} %") for value in _ticks(y_low, y_high)],
        None if slow is None else x(slow),
        None if least is None else y(least),
    )


def own_files(manifest: Manifest, evaluation: Evaluation, student: str) -> Comparison:
    """The files of a job's only student, as `comparison.json` has those of several."""
    found = []
    for name, measured in manifest.measured.items():
        parity = manifest.parity.get(name)
        one = [each for each in measured.latencies if each.device == "cpu" and each.batch == 1]
        lost = (parity.accuracy_loss or 0.0) if parity else 0.0
        latency = one[0].p50_ms if one else None
        accuracy = evaluation.judged.top1 - lost
        found.append(Candidate(student=student, file=name, accuracy=accuracy, latency_ms=latency, bytes=measured.bytes))
    return Comparison(
        latency=f"Median of the timed calls with one image on the worker's CPU ({manifest.cpu or 'unknown'}).",
        accuracy=f"Top-1 on {evaluation.images:,} {evaluation.split.value} images.",
        files=tuple(mark_front(found)),
        choice=None,
    )


@dataclass(frozen=True, slots=True)
class Bin:
    """A bar of the reliability diagram."""

    x: float
    width: float
    top: float
    height: float
    low: float | None
    high: float | None
    said: str


def reliability(scores: PredictorScores, side: float = 240.0, left: float = 44.0) -> list[Bin]:
    """One bar for each bin with images; the diagram is `side` pixels wide and high, from `left` on."""
    bars = []
    for found in scores.calibration.bins:
        if not found.images or found.accuracy is None:
            continue
        sure = 100 * (found.confidence or 0)
        said = f"{found.images:,} images, mean confidence {sure:.0f} %, right {100 * found.accuracy:.0f} %"
        ends = found.accuracy_interval
        bars.append(
            Bin(
                round(left + side * found.low + 1, 1),
                round(side * (found.high - found.low) - 2, 1),
                round(10 + side * (1 - found.accuracy), 1),
                round(side * found.accuracy, 1),
                None if ends is None else round(10 + side * (1 - ends[0]), 1),
                None if ends is None else round(10 + side * (1 - ends[1]), 1),
                said,
            )
        )
    return bars


@dataclass(frozen=True, slots=True)
class MatrixCell:
    count: int
    shade: str
    """A class of the style sheet: how much of its row it holds, and whether it is right."""


def matrix(evaluation: Evaluation) -> list[list[MatrixCell]] | None:
    """None where there is none or it would not fit."""
    confusion = evaluation.judged.confusion
    if confusion is None or len(evaluation.classes) > MATRIX_SHOWN:
        return None
    rows = []
    for truth, row in enumerate(confusion):
        total = sum(row) or 1
        rows.append([MatrixCell(count, _shade(count / total, truth == said)) for said, count in enumerate(row)])
    return rows


def _shade(share: float, is_right: bool) -> str:
    if share == 0:
        return ""
    return ("r" if is_right else "w") + str(min(4, 1 + int(share * 4)))


def _around(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = max(0.02, (high - low) * 0.2)
    return max(0.0, low - margin), min(1.0, high + margin)


def _ticks(low: float, high: float) -> list[float]:
    step = next(step for step in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (high - low) / step <= 6)
    return [round(number * step, 4) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    found = [
        factor * 10.0**power for power in range(-3, 5) for factor in (1, 2, 5) if low <= factor * 10.0**power <= high
    ]
    return found or [round(math.sqrt(low * high), 3)]
