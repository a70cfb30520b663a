"""Curves drawn with characters."""

from __future__ import annotations

from collections.abc import Sequence

Points = Sequence[tuple[float, float]]
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Of a braille character, from the top: two columns and four rows."""
_BRAILLE = 0x2800


def chart(title: str, points: Points, width: int, height: int, *, as_share: bool = False) -> list[str]:
    """A curve as lines of text, its range at the left and its last value in the title.

    Args:
        points: of x and y; x ascends.
        width: of the whole in characters, at least 20.
        as_share: y is a fraction, shown in per cent.
    """
    if not points:
        return []

    def shown(value: float) -> str:
        return f"{value:.1%}" if as_share else f"{value:.3g}"

    low, high = min(y for _, y in points), max(y for _, y in points)
    labels = [shown(high), shown(low)]
    margin = max(map(len, labels))
    rows = _braille(points, max(2, width - margin - 2), height, low, high)
    sides = [labels[0]] + [""] * (height - 2) + [labels[1]] if height > 1 else [labels[0]]
    lines = [f"{title}  {shown(points[-1][1])}"]
    return lines + [f"{side:>{margin}} {row}".rstrip() for side, row in zip(sides, rows, strict=True)]


def _braille(points: Points, columns: int, height: int, low: float, high: float) -> list[str]:
    cells = [[0] * columns for _ in range(height)]
    first, last = points[0][0], points[-1][0]
    across, up = (last - first) or 1.0, (high - low) or 1.0
    before: tuple[int, int] | None = None
    for x, y in points:
        column = round((x - first) / across * (2 * columns - 1))
        row = round((high - y) / up * (4 * height - 1))
        for one, other in _between(before, (column, row)):
            cells[other // 4][one // 2] |= _DOTS[other % 4][one % 2]
        before = (column, row)
    return ["".join(chr(_BRAILLE + cell) if cell else " " for cell in row) for row in cells]


def _between(start: tuple[int, int] | None, end: tuple[int, int]) -> list[tuple[int, int]]:
    """The dots of a line between two."""
    if start is None:
        return [end]
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (round(start[0] + (end[0] - start[0]) * i / steps), round(start[1] + (end[1] - start[1]) * i / steps))
        for i in range(1, steps + 1)
    ]
