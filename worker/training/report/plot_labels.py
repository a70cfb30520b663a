"""Where the labels of a scatter plot go, so that none hides a dot or another label."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

_GAP = 4.0
"""Points between a dot and its label, and around a label."""
_DISTANCES = (0, 8, 16, 26, 38, 52, 68, 86, 106, 128, 152, 178)
"""Points that a label is moved away, as it must."""
_LEADER_FROM = 16
"""Points from which on a line leads back to the dot."""
_ANGLES = (0, 180, 90, 270, 45, 315, 135, 225, 22, 338, 158, 202, 68, 292, 112, 248)
"""Degrees, in order of preference: beside the dot, above, below, at the corners, between."""
_OUTSIDE, _ON_LABEL, _ON_DOT, _ON_LINE, _PER_POINT = 10_000.0, 5_000.0, 1_000.0, 25.0, 1.0
"""What it costs a place to leave the axes, to hide a label or a dot, to cross a line, and to be far away."""


@dataclass(frozen=True)
class Dot:
    """A dot with what is written beside it."""

    x: float
    y: float
    radius: float
    """Points."""
    text: str
    style: dict[str, Any]
    """Of the text."""


def place_labels(axis: Axes, dots: Sequence[Dot], others: Sequence[Dot] = (), lines: Sequence[Bbox] = ()) -> None:
    """Write each dot's text at the best place that is left, the first dot's first. Limits and layout must be final.

    Args:
        others: dots without text, to be kept free.
        lines: in display units; crossed only where there is no other place.
    """
    figure = axis.get_figure(root=True)
    assert figure is not None
    renderer = FigureCanvasAgg(figure).get_renderer()
    scale = figure.dpi / 72
    dot_boxes = [_dot_box(axis, dot, scale) for dot in (*dots, *others)]
    written: list[Bbox] = []
    inside = axis.get_window_extent(renderer)
    for dot in dots:
        trial = axis.annotate(dot.text, (dot.x, dot.y), **dot.style)
        size = trial.get_window_extent(renderer)
        trial.remove()
        places = _places(axis, dot, size, scale)
        priced = [
            (
                _PER_POINT * distance
                + _OUTSIDE * _leaves(box, inside)
                + _ON_LABEL * _hits(box, written, scale)
                + _ON_DOT * _hits(box, dot_boxes, scale)
                + _ON_LINE * _hits(box, lines, scale),
                distance,
                box,
            )
            for distance, box in places
        ]
        _, distance, box = min(priced, key=lambda place: place[0])
        written.append(box)
        _write(axis, dot, box, distance, scale)


def _places(axis: Axes, dot: Dot, size: Bbox, scale: float) -> Iterator[tuple[float, Bbox]]:
    """Distance in points and box of each place."""
    x, y = axis.transData.transform((dot.x, dot.y))
    half_width, half_height = size.width / 2, size.height / 2
    for distance in _DISTANCES:
        for angle in _ANGLES:
            reach = (dot.radius + _GAP + distance) * scale
            dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            centre_x = x + dx * reach + _sign(dx) * half_width
            centre_y = y + dy * reach + _sign(dy) * half_height
            yield (
                distance,
                Bbox.from_extents(
                    centre_x - half_width, centre_y - half_height, centre_x + half_width, centre_y + half_height
                ),
            )


def _leaves(box: Bbox, inside: Bbox) -> bool:
    return not (inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1)


def _hits(box: Bbox, others: Sequence[Bbox], scale: float) -> int:
    wide = box.padded(_GAP / 2 * scale)
    return sum(wide.overlaps(other) for other in others)


def _write(axis: Axes, dot: Dot, box: Bbox, distance: float, scale: float) -> Annotation:
    x, y = axis.transData.transform((dot.x, dot.y))
    offset = ((box.x0 + box.x1) / 2 - x) / scale, ((box.y0 + box.y1) / 2 - y) / scale
    leader = {"arrowstyle": "-", "color": "#999999", "linewidth": 0.6, "shrinkA": 1, "shrinkB": dot.radius}
    return axis.annotate(
        dot.text,
        (dot.x, dot.y),
        xytext=offset,
        textcoords="offset points",
        ha="center",
        va="center",
        arrowprops=leader if distance >= _LEADER_FROM else None,
        **dot.style,
    )


def _dot_box(axis: Axes, dot: Dot, scale: float) -> Bbox:
    x, y = axis.transData.transform((dot.x, dot.y))
    radius = dot.radius * scale
    return Bbox.from_extents(x - radius, y - radius, x + radius, y + radius)


def _sign(value: float) -> int:
    return 0 if abs(value) < 1e-9 else int(math.copysign(1, value))
