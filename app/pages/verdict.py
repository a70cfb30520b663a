"""How good a student is, in a sentence or two."""

from app.domain.evaluation import Evaluation, PairedDifference
from app.pages.rendering import percent

_OTHERS = {"teacher": "its teacher", "probe": "a linear probe on the teacher", "majority": "the most frequent class"}
CERTAIN = 0.05
"""Below this p-value a difference is called one."""


def verdict(evaluation: Evaluation) -> str:
    scores = evaluation.judged
    low, high = scores.top1_interval
    who = "The student" if evaluation.student else "The linear probe"
    first = (
        f"{who} is right about {percent(scores.top1)} of {evaluation.images:,} {evaluation.split.value} images "
        f"(95 % interval {percent(low)} to {percent(high)})"
    )
    pairs = {pair.other: pair for pair in evaluation.paired}
    said = [_compared(pairs[other]) for other in ("teacher", "probe") if other in pairs]
    if not said:
        floor = evaluation.majority
        return f"{first}; always answering the most frequent class would reach {percent(floor.top1)}."
    return f"{first}: {' and '.join(said)}."


def _compared(pair: PairedDifference) -> str:
    other = _OTHERS.get(pair.other, pair.other)
    if pair.p_value >= CERTAIN:
        low, high = pair.interval
        return f"no difference to {other} can be told ({_points(low)} to {_points(high)} points)"
    better = "better" if pair.difference > 0 else "behind"
    size = f"{100 * abs(pair.difference):.1f} points"
    chance = "p < 0.001" if pair.p_value < 0.001 else f"p = {pair.p_value:.3f}"
    return f"{size} {better + ' than' if better == 'better' else better} {other} ({chance})"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")
