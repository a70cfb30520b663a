"""A dot plot: a panel a data set, a column a method, a dot a seed, a line from least to most, a bar at the mean."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.common import svg
from benchmarks.common.table import Seeds

_WIDTH, _HEIGHT = 3.4, 3.2  # inches a panel


@dataclass(frozen=True)
class Panel:
    """Accuracies on one data set."""

    title: str
    methods: dict[str, Seeds]
    ceiling: float | None = None
    """Drawn as a dashed line: the teacher's linear probe."""


def draw(rows: Sequence[Sequence[Panel]], path: Path) -> None:
    """Write the panels as an SVG. The same figures give the same bytes."""
    columns = max(len(row) for row in rows)
    figure = Figure(figsize=(_WIDTH * columns, _HEIGHT * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, sharey="row")
    for row, panels in zip(axes, rows, strict=True):
        for place, axis in enumerate(row):
            if place < len(panels):
                _draw_panel(axis, panels[place])
            else:
                axis.set_visible(False)
        row[0].set_ylabel("test accuracy, %")
    svg.save(figure, path)


def _draw_panel(axis: Axes, panel: Panel) -> None:
    axis.set_title(panel.title, fontsize=10)
    for place, (seeds, colour) in enumerate(zip(panel.methods.values(), _colours(len(panel.methods)), strict=True)):
        values = [100 * value for value in seeds.values()]
        if values:
            mean = statistics.mean(values)
            axis.vlines(place, min(values), max(values), colors=colour, linewidth=1)
            axis.hlines(mean, place - 0.25, place + 0.25, colors=colour, linewidth=2)
            axis.plot([place] * len(values), values, "o", color=colour, markersize=4, alpha=0.7)
            axis.annotate(f"{mean:.1f}", (place + 0.28, mean), fontsize=8, va="center", color=colour)
    if panel.ceiling is not None:
        axis.axhline(100 * panel.ceiling, linestyle="--", linewidth=1, color="#777777", label="linear probe")
        axis.legend(fontsize=7, loc="lower right", frameon=False)
    axis.set_xticks(range(len(panel.methods)), list(panel.methods), rotation=30, ha="right", fontsize=8)
    axis.set_xlim(-0.5, len(panel.methods) - 0.2)
    axis.grid(axis="y", linewidth=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def _colours(count: int) -> list[str]:
    return [svg.COLOURS[place % len(svg.COLOURS)] for place in range(count)]
