"""Recall of each class: bars with their intervals, the weakest class first."""

from app.domain.evaluation import ClassScore, PredictorScores
from worker.training.report.charts.drawing import Drawing, percent, shortened, text_width

MOST_CLASSES = 60
"""Only the weakest are drawn where there are more."""
_ROW, _WIDTH, _LETTERS = 22.0, 310.0, 28


def class_bars(scores: PredictorScores, teacher: PredictorScores | None, who: str) -> Drawing:
    """Recall of each class that has images, with Wilson's interval, and the teacher's as a mark.

    Args:
        who: whose scores they are, such as `student`.
    """
    drawing = Drawing(f"Recall of each class: the share of its images that the {who} classifies correctly.")
    found = [(score, k) for k, score in enumerate(scores.per_class) if score.support]
    shown = sorted(found, key=lambda item: (item[0].recall, -item[0].support, item[1]))[:MOST_CLASSES]
    names = [shortened(score.name, _LETTERS) for score, _ in shown]
    left, top = max(text_width(names, 12) + 22, 90.0), 58.0
    bottom = top + _ROW * len(shown)
    _legend(drawing, who, teacher is not None, len(shown), len(found))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = left + share * _WIDTH
        drawing.line(x, top - 4, x, bottom, "grid")
        drawing.text(x, top - 10, percent(share), "soft", size=11, anchor="middle")
    for place, ((score, k), name) in enumerate(zip(shown, names, strict=True)):
        y = top + _ROW * place
        drawing.text(left - 8, y + 15, name, anchor="end", tip=score.name)
        _bar(drawing, left, y, score)
        if teacher is not None:
            x = left + teacher.per_class[k].recall * _WIDTH
            said = f"teacher: {percent(teacher.per_class[k].recall)}"
            drawing.circle(x, y + 11, 4, "hollow-two", tip=said)
        drawing.text(left + _WIDTH + 14, y + 15, f"{percent(score.recall)} of {score.support:,}", size=12)
    drawing.width, drawing.height = left + _WIDTH + 110, bottom + 14
    return drawing


def _bar(drawing: Drawing, left: float, y: float, score: ClassScore) -> None:
    low, high = score.recall_interval or (score.recall, score.recall)
    said = f"{score.name}: {percent(score.recall)} of {score.support} images, 95 %: {percent(low)} – {percent(high)}"
    drawing.rect(left, y + 4, max(score.recall * _WIDTH, 1), 14, "one", opacity=0.45, tip=said)
    drawing.line(left + low * _WIDTH, y + 11, left + high * _WIDTH, y + 11, "line-one", width=2)
    for end in (low, high):
        drawing.line(left + end * _WIDTH, y + 7, left + end * _WIDTH, y + 15, "line-one", width=2)


def _legend(drawing: Drawing, who: str, with_teacher: bool, shown: int, found: int) -> None:
    part = "" if shown == found else f", the {shown} weakest of {found} classes"
    words = f"{who}, with its 95 % interval{part}"
    drawing.rect(14, 11, 16, 12, "one", opacity=0.45)
    drawing.line(18, 17, 30, 17, "line-one", width=2)
    drawing.text(38, 21.5, words)
    if with_teacher:
        x = 62 + text_width([words], 12)
        drawing.circle(x, 17, 4, "hollow-two")
        drawing.text(x + 10, 21.5, "teacher")
