"""How a run learned: a small panel for each curve that a person asks about."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.progress import MetricLine
from app.domain.states import Stage
from worker.training.report.charts.drawing import Drawing

_CURVES = (
    (Stage.REPROGRAM, "loss", "Stage 1, the teacher: loss"),
    (Stage.REPROGRAM, "val_accuracy", "Stage 1, the teacher: accuracy on validation images"),
    (Stage.DISTILL, "loss", "Stage 2, the student: loss"),
    (Stage.DISTILL, "val_accuracy", "Stage 2, the student: accuracy on validation images"),
    (Stage.DISTILL, "teacher_agreement", "Stage 2, the student: agreement with its teacher"),
)
_SHARES = {"val_accuracy", "teacher_agreement"}
_WIDTH, _HEIGHT, _LEFT, _RIGHT = 300.0, 150.0, 48.0, 62.0


@dataclass(frozen=True)
class _Panel:
    title: str
    points: list[tuple[int, float]]
    share: bool

    def words(self, value: float) -> str:
        return f"{100 * value:.3g} %" if self.share else f"{value:.3g}"


def training_curves(points: Sequence[MetricLine]) -> Drawing | None:
    """Two panels a row. None where no curve has two points."""
    panels = [
        _Panel(title, found, name in _SHARES)
        for stage, name, title in _CURVES
        if len(
            found := [(line.step, line.values[name]) for line in points if line.stage is stage and name in line.values]
        )
        > 1
    ]
    if not panels:
        return None
    drawing = Drawing("Training curves, by optimiser step.")
    for place, panel in enumerate(panels):
        x = _LEFT + (place % 2) * (_WIDTH + _LEFT + _RIGHT)
        _draw(drawing, panel, x, 40 + (place // 2) * (_HEIGHT + 76))
    rows = math.ceil(len(panels) / 2)
    drawing.width = min(len(panels), 2) * (_WIDTH + _LEFT + _RIGHT) + 8
    drawing.height = rows * (_HEIGHT + 76) + 8
    return drawing


def _draw(drawing: Drawing, panel: _Panel, x: float, y: float) -> None:
    steps, values = [step for step, _ in panel.points], [value for _, value in panel.points]
    ticks = _ticks(min(values), max(values))
    low, high = ticks[0], ticks[-1]
    drawing.text(x - _LEFT + 12, y - 16, panel.title, bold=True, size=12.5)
    for tick in ticks:
        at = y + _HEIGHT * (high - tick) / (high - low)
        drawing.line(x, at, x + _WIDTH, at, "grid")
        drawing.text(x - 7, at + 4, panel.words(tick), "soft", size=11, anchor="end")
    places = [
        (x + _WIDTH * step / max(steps), y + _HEIGHT * (high - value) / (high - low)) for step, value in panel.points
    ]
    drawing.path(places, "line-one")
    drawing.circle(*places[-1], 3.5, "one", tip=f"step {steps[-1]}: {panel.words(values[-1])}")
    drawing.text(places[-1][0] + 9, places[-1][1] + 4, panel.words(values[-1]), "one", bold=True)
    drawing.text(x, y + _HEIGHT + 18, "0", "soft", size=11)
    drawing.text(x + _WIDTH, y + _HEIGHT + 18, f"step {max(steps):,}", "soft", size=11, anchor="end")


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers, the first and the last of which enclose all values."""
    span = (high - low) or abs(high) or 1.0
    raw = span / 4
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]
