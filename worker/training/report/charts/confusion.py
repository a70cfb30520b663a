"""A confusion matrix that can be read with 3 and with 100 classes."""

from collections.abc import Sequence

from worker.training.report.charts.drawing import Drawing, percent, shortened, text_width

MOST_CLASSES = 120
"""A larger matrix could not be read. It shows the classes with the most mistakes, and says so."""
_CELLS = ((12, 44.0, 12.5), (25, 30.0, 11.0), (50, 17.0, 9.0), (MOST_CLASSES, 11.5, 8.0))
"""Up to so many classes: side of a cell, size of the letters."""
_NUMBERED = 25
"""With more classes than this a cell has no room for its number."""
_LETTERS = 22


def confusion_matrix(confusion: Sequence[Sequence[int]], classes: Sequence[str], who: str) -> Drawing:
    """Blue is right, vermilion wrong; the stronger, the larger the part of the row.

    Args:
        confusion: images by truth and answer.
        who: whose answers they are, such as `student`.
    """
    shown = _with_most_mistakes(confusion)
    side, letters = next((side, letters) for most, side, letters in _CELLS if len(shown) <= most)
    names = [shortened(classes[k], _LETTERS) for k in shown]
    drawing = Drawing(f"Confusion matrix of the {who}: rows are true classes, columns predictions.")
    margin = text_width(names, letters)
    left, top = margin + 34, margin * 0.94 + 62
    end = left + side * len(shown)
    _head(drawing, len(shown), len(classes))
    drawing.text(left, top - margin * 0.94 - 12, "predicted class →", "soft", size=11.5)
    drawing.text(14, top, "← true class", "soft", size=11.5, turn=-90, anchor="end")
    for place, (k, name) in enumerate(zip(shown, names, strict=True)):
        middle = side * (place + 0.5)
        drawing.text(left - 6, top + middle + letters * 0.35, name, size=letters, anchor="end", tip=classes[k])
        drawing.text(left + middle + letters * 0.35, top - 6, name, size=letters, turn=-90, tip=classes[k])
        whole = sum(confusion[k])
        for across, other in enumerate(shown):
            if count := confusion[k][other]:
                said = f"{classes[k]} → {classes[other]}: {count} of {whole} ({percent(count / whole)})"
                opacity = _opacity(count / whole, right=k == other)
                x, y = left + side * across, top + side * place
                drawing.rect(x, y, side, side, "one" if k == other else "two", opacity=opacity, tip=said)
                if len(shown) <= _NUMBERED:
                    role = "paper" if opacity > 0.6 else ""
                    down = y + side / 2 + letters * 0.36
                    drawing.text(x + side / 2, down, str(count), role, size=letters, anchor="middle", tip=said)
    for place in range(len(shown) + 1):
        at = side * place
        drawing.line(left, top + at, end, top + at, "grid", width=0.6)
        drawing.line(left + at, top, left + at, top + end - left, "grid", width=0.6)
    drawing.width, drawing.height = max(end + 16, 430), top + end - left + 16
    return drawing


def _head(drawing: Drawing, shown: int, classes: int) -> None:
    part = "" if shown == classes else f"; the {shown} of {classes} classes with the most mistakes"
    x = 14.0
    for role, words in (
        ("one", "right"),
        ("two", f"wrong: the stronger, the larger the share of the row{part}"),
    ):
        drawing.rect(x, 11, 12, 12, role)
        drawing.text(x + 18, 21.5, words, size=12)
        x += 24 + text_width([words], 12)


def _opacity(share: float, *, right: bool) -> float:
    """Of wrong answers the root counts: one image of ten must still be seen."""
    return 0.1 + 0.9 * (share if right else share**0.5)


def _with_most_mistakes(confusion: Sequence[Sequence[int]]) -> list[int]:
    """In their own order."""
    every = range(len(confusion))
    if len(confusion) <= MOST_CLASSES:
        return list(every)
    columns = [sum(row[k] for row in confusion) for k in every]
    mistakes = [sum(confusion[k]) + columns[k] - 2 * confusion[k][k] for k in every]
    return sorted(sorted(every, key=lambda k: -mistakes[k])[:MOST_CLASSES])
