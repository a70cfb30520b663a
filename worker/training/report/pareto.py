"""`pareto.svg`: what accuracy costs in time. A dot a file, its area the file's size, a line along the Pareto front."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator
from matplotlib.transforms import Bbox

from app.domain.model_selection import Candidate, Choice, Comparison
from worker.training.export import formats
from worker.training.report.plot_labels import Dot, place_labels

_SIZE, _LARGE_SIZE = (8.0, 5.2), (9.5, 7.0)  # inches
_MANY = 8
"""With more dots to name than this the plot is larger, and has one label a student, of one line."""
_FRONT, _OTHER, _LIMIT, _TEXT = "#0072b2", "#8a8a8a", "#d55e00", "#222222"
"""After Okabe and Ito (2008): told apart with any kind of colour vision."""
_LARGEST_DOT, _SMALLEST_DOT = 11.0, 3.5
"""Points of radius; the area of a dot is in proportion to its file."""
_LOG_FROM = 4.0
"""Where the slowest takes so many times as long as the fastest, the axis is logarithmic."""


def draw_pareto(comparison: Comparison, path: Path) -> None:
    """Write the plot of all files that were timed; at least one must be. The same figures give the same bytes."""
    with mpl.rc_context({"svg.hashsalt": "tdmr", "font.family": "DejaVu Sans"}):
        figure = pareto_figure(comparison)
        FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None})


def pareto_figure(comparison: Comparison) -> Figure:
    """The plot itself, for other formats too."""
    files = [file for file in comparison.files if file.latency_ms is not None]
    assert files
    named = _named(files, comparison.choice)
    many = len(named) > _MANY
    if many:
        named = _first_of_each(named)
    figure = Figure(figsize=_LARGE_SIZE if many else _SIZE, dpi=100, layout="constrained")
    axis = figure.add_subplot()
    _name_axes(figure, axis, comparison)
    _limit_axes(axis, files, comparison.choice)
    figure.draw_without_rendering()  # settles the layout, on which the places of the labels depend
    figure.set_layout_engine("none")
    lines = [*_draw_front(axis, files), *_draw_limits(axis, comparison.choice)]
    largest = max(file.bytes for file in files)
    for file in files:
        _draw_dot(axis, file, _radius(file, largest), prominent=file in named, choice=comparison.choice)
    dots = [_dot(file, largest, comparison.choice, short=many) for file in named]
    rest = [_dot(file, largest, comparison.choice) for file in files if file not in named]
    place_labels(axis, dots, rest, lines)
    return figure


def _named(files: Sequence[Candidate], choice: Choice | None) -> list[Candidate]:
    """The files to label, the more important first: chosen, on the front, and the best of each student."""
    best = {file.student: file for file in reversed(files)}  # they come best first
    wanted = [file for file in files if file.pareto or file is best[file.student] or _is_choice(file, choice)]
    return sorted(wanted, key=lambda file: (not _is_choice(file, choice), not file.pareto))


def _first_of_each(files: Sequence[Candidate]) -> list[Candidate]:
    first = {file.student: file for file in reversed(files)}
    return [file for file in files if file is first[file.student]]


def _name_axes(figure: Figure, axis: Axes, comparison: Comparison) -> None:
    figure.suptitle("Accuracy against latency", x=0.012, ha="left", fontsize=14, fontweight="bold", color=_TEXT)
    dots = "Each dot is a file, its area proportional to file size; bars: 95 % intervals."
    said = f"{comparison.latency}\n{comparison.accuracy} {dots}"
    axis.set_title(said, loc="left", fontsize=9, color="#555555", x=0.0, pad=10)
    axis.set_xlabel("latency for one image, ms", fontsize=10.5, color=_TEXT)
    axis.set_ylabel("top-1 accuracy, %", fontsize=10.5, color=_TEXT)
    axis.tick_params(labelsize=9.5, colors="#444444")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(linewidth=0.4, color="#dddddd")
    axis.set_axisbelow(True)


def _limit_axes(axis: Axes, files: Sequence[Candidate], choice: Choice | None) -> None:
    wanted = None if choice is None else choice.constraints
    times = [_ms(file) for file in files]
    accuracies = [100 * share for file in files for share in (file.accuracy_interval or (file.accuracy,))]
    if wanted is not None:
        times += [] if wanted.max_latency_ms is None else [wanted.max_latency_ms]
        accuracies += [] if wanted.min_accuracy is None else [100 * wanted.min_accuracy]
    low, high = min(times), max(times)
    if high / low >= _LOG_FROM:
        margin = (high / low) ** 0.12
        axis.set_xscale("log")
        axis.set_xlim(low / margin, high * margin)
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_minor_formatter(FuncFormatter(lambda value, place: ""))
    else:
        margin = 0.25 * (high - low) or 0.2 * high
        axis.set_xlim(max(0.0, low - margin), high + margin)
        axis.xaxis.set_major_locator(MaxNLocator(8))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    bottom, top = min(accuracies), max(accuracies)
    margin = 0.08 * (top - bottom) or 1.0
    axis.set_ylim(bottom - margin, top + margin)
    axis.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))


def _draw_front(axis: Axes, files: Sequence[Candidate]) -> list[Bbox]:
    """A staircase: right of and below it nothing is worth having. Returns where it runs, in display units."""
    front = sorted({(_ms(file), 100 * file.accuracy) for file in files if file.pareto})
    _, right = axis.get_xlim()
    corners: list[tuple[float, float]] = []
    for (time, accuracy), following in zip(front, [*front[1:], (right, 0.0)], strict=True):
        corners += [(time, accuracy), (following[0], accuracy)]
    axis.plot(*zip(*corners, strict=True), color=_FRONT, linewidth=1.2, alpha=0.55, zorder=2)
    return [_box(axis, one, other) for one, other in itertools.pairwise(corners)]


def _draw_limits(axis: Axes, choice: Choice | None) -> list[Bbox]:
    """What the job's constraints forbid is shaded. Returns where the limits run, with what is written on them."""
    if choice is None:
        return []
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    style: dict[str, Any] = {"color": _LIMIT, "fontsize": 9}
    lines = []
    if (latest := choice.constraints.max_latency_ms) is not None:
        axis.axvline(latest, color=_LIMIT, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
        axis.axvspan(latest, right, color=_LIMIT, alpha=0.05, linewidth=0)
        said = f" max {latest:g} ms"
        axis.annotate(said, (latest, 0.02), xycoords=("data", "axes fraction"), rotation=90, ha="right", **style)
        lines.append(_box(axis, (latest, bottom), (latest, top)))
    if (least := choice.constraints.min_accuracy) is not None:
        axis.axhline(100 * least, color=_LIMIT, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
        axis.axhspan(bottom, 100 * least, color=_LIMIT, alpha=0.05, linewidth=0)
        said = f"min {100 * least:g} %"
        axis.annotate(said, (0.01, 100 * least), xycoords=("axes fraction", "data"), va="bottom", **style)
        lines.append(_box(axis, (left, 100 * least), (right, 100 * least)))
    return lines


def _draw_dot(axis: Axes, file: Candidate, radius: float, *, prominent: bool, choice: Choice | None) -> None:
    colour = _FRONT if file.pareto else _OTHER
    place = (_ms(file), 100 * file.accuracy)
    if prominent and file.accuracy_interval is not None:
        low, high = file.accuracy_interval
        axis.vlines(place[0], 100 * low, 100 * high, colors="#bbbbbb", linewidth=0.8, zorder=1.5)
    solid = 0.85 if prominent else 0.3
    axis.scatter(*place, s=(2 * radius) ** 2, color=colour, alpha=solid, linewidth=0, zorder=4 if prominent else 3)
    if _is_choice(file, choice):
        axis.scatter(*place, s=(2 * radius + 7) ** 2, facecolors="none", edgecolors=_LIMIT, linewidth=1.6, zorder=5)


def _dot(file: Candidate, largest: int, choice: Choice | None, *, short: bool = False) -> Dot:
    chosen = _is_choice(file, choice)
    name = file.student.partition(".")[0]
    exported = formats.of_file(file.file)
    kind = file.file if exported is None else exported.label
    text = f"{name}, {_megabytes(file.bytes)}" if short else f"{name}\n{kind}, {_megabytes(file.bytes)}"
    if chosen:
        assert choice is not None
        text = f"{'chosen' if choice.met else 'closest'}: {text}"
    colour = _LIMIT if chosen else _FRONT if file.pareto else "#666666"
    style = {"fontsize": 9, "color": colour, "linespacing": 1.15, "fontweight": "bold" if chosen else "normal"}
    return Dot(_ms(file), 100 * file.accuracy, _radius(file, largest) + (3.5 if chosen else 0), text, style)


def _radius(file: Candidate, largest: int) -> float:
    return max(_SMALLEST_DOT, _LARGEST_DOT * math.sqrt(file.bytes / largest))


def _is_choice(file: Candidate, choice: Choice | None) -> bool:
    return choice is not None and file.file == choice.file


def _ms(file: Candidate) -> float:
    assert file.latency_ms is not None
    return file.latency_ms


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.3g} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def _box(axis: Axes, one: tuple[float, float], other: tuple[float, float]) -> Bbox:
    (x0, y0), (x1, y1) = axis.transData.transform([one, other])
    return Bbox.from_extents(min(x0, x1) - 1, min(y0, y1) - 1, max(x0, x1) + 1, max(y0, y1) + 1)
