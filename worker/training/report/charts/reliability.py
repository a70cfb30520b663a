"""Calibration: accuracy against confidence."""

from app.domain.evaluation import PredictorScores, ReliabilityBin
from worker.training.report.charts.drawing import Drawing, percent

_SIDE, _LEFT, _TOP, _HISTOGRAM = 340.0, 58.0, 40.0, 60.0


def reliability_diagram(scores: PredictorScores, teacher: PredictorScores | None, who: str) -> Drawing:
    """Dots below the dashed line are overconfident, dots above it underconfident.

    Args:
        who: whose scores they are, such as `student`.
    """
    drawing = Drawing(f"Reliability of the {who}: accuracy by confidence.")
    bottom, right = _TOP + _SIDE, _LEFT + _SIDE
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = _at(share, share)
        drawing.line(_LEFT, y, right, y, "grid")
        drawing.line(x, _TOP, x, bottom, "grid")
        drawing.text(_LEFT - 8, y + 4, percent(share), "soft", size=11, anchor="end")
        drawing.text(x, bottom + _HISTOGRAM + 34, percent(share), "soft", size=11, anchor="middle")
    drawing.line(*_at(0, 0), *_at(1, 1), "axis", dash="4 4")
    drawing.text(*_at(0.015, 0.035), "perfect calibration", "soft", size=11, turn=-45)
    drawing.text(_LEFT, _TOP - 16, "accuracy", "soft", size=11.5)
    drawing.text(right, bottom + _HISTOGRAM + 54, "confidence", "soft", size=11.5, anchor="end")
    if teacher is not None:
        places = [_at(b.confidence, b.accuracy) for b in teacher.calibration.bins if _filled(b)]
        drawing.path(places, "line-two", width=1.2)
        for x, y in places:
            drawing.circle(x, y, 3.2, "hollow-two")
    filled = [b for b in scores.calibration.bins if _filled(b)]
    drawing.path([_at(b.confidence, b.accuracy) for b in filled], "line-one", width=1.2)
    most = max(b.images for b in filled)
    for b in filled:
        assert b.confidence is not None and b.accuracy is not None and b.accuracy_interval is not None
        x, y = _at(b.confidence, b.accuracy)
        low, high = b.accuracy_interval
        drawing.line(x, _at(0, low)[1], x, _at(0, high)[1], "line-one", width=1.5)
        said = f"{b.images} images: confidence {percent(b.confidence)}, accuracy {percent(b.accuracy)}"
        drawing.circle(x, y, 3 + 5 * (b.images / most) ** 0.5, "one", tip=said)
        height = _HISTOGRAM * 0.85 * b.images / most
        drawing.rect(
            _LEFT + b.low * _SIDE + 1,
            bottom + 14 + _HISTOGRAM - height,
            (b.high - b.low) * _SIDE - 2,
            height,
            "one",
            opacity=0.45,
            tip=said,
        )
    drawing.line(_LEFT, bottom + 14 + _HISTOGRAM, right, bottom + 14 + _HISTOGRAM, "axis")
    drawing.text(_LEFT, bottom + _HISTOGRAM + 54, "bars: images", "soft", size=11.5)
    _labels(drawing, scores, teacher, who)
    drawing.width, drawing.height = right + 24, bottom + _HISTOGRAM + 66
    return drawing


def _labels(drawing: Drawing, scores: PredictorScores, teacher: PredictorScores | None, who: str) -> None:
    lines = [("one", who, scores)] + ([("two", "teacher", teacher)] if teacher is not None else [])
    for place, (role, name, predictor) in enumerate(lines):
        words = f"{name}: ECE {percent(predictor.calibration.ece)}"
        drawing.text(_LEFT + 10, _TOP + 20 + 18 * place, words, role, bold=True)


def _filled(b: ReliabilityBin) -> bool:
    return b.images > 0


def _at(confidence: float | None, accuracy: float | None) -> tuple[float, float]:
    assert confidence is not None and accuracy is not None
    return _LEFT + confidence * _SIDE, _TOP + (1 - accuracy) * _SIDE
