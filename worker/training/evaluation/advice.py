"""What a user should know of a student that was trained and is not what it might be."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.dataset import Split
from app.domain.progress import MetricLine
from app.domain.states import Stage

LOST_TO_PROBE = 0.01
"""Top-1 that a reprogrammed teacher may lack to its own probe before it is said: less is noise on most test sets."""
_FIFTHS = 5
_LEAST_POINTS = 10
"""Of a loss curve: fewer say nothing about where it goes."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Becomes an event; a warning stays with the job."""

    code: str
    message: str
    warning: bool = True


def advise(evaluation: Mapping[str, Any], curve: Sequence[MetricLine], alone: str) -> Iterator[Advice]:
    """Everything worth saying.

    Args:
        evaluation: content of an `evaluation.json`.
        curve: the student's points, by step.
        alone: the method that trains the same student on labels alone.
    """
    for found in (
        _no_better_than_majority(evaluation),
        _loss_rose(curve),
        _below_probe(evaluation),
        _beyond_teacher(evaluation, alone),
    ):
        if found is not None:
            yield found


def _no_better_than_majority(evaluation: Mapping[str, Any]) -> Advice | None:
    student, majority = evaluation["student"], evaluation["majority"]
    if student is None or student["top1_interval"][0] > majority["top1"]:
        return None
    return Advice(
        "student_no_better_than_majority",
        f"On the {evaluation['split']} images the student is right in {student['top1']:.1%} (95 % interval "
        f"{student['top1_interval'][0]:.1%} to {student['top1_interval'][1]:.1%}); always answering the most frequent "
        f"class would be right in {majority['top1']:.1%}. Do not deploy it. Look at the curves and the labels, then "
        "try a lower distill.learning_rate or more distill.image_steps.",
    )


def _loss_rose(curve: Sequence[MetricLine]) -> Advice | None:
    losses = [line.values["loss"] for line in curve if line.stage == Stage.DISTILL and "loss" in line.values]
    if len(losses) < _LEAST_POINTS:
        return None
    # a first step may be high and a warm-up slow, so parts are compared and not points
    part = len(losses) // _FIFTHS
    first, last = statistics.median(losses[:part]), statistics.median(losses[-part:])
    if last <= first:
        return None
    return Advice(
        "loss_rose",
        f"The student's training loss was {first:.3g} in the first fifth of the steps and {last:.3g} in the last: the "
        "training left the rails. Try a lower distill.learning_rate.",
    )


def _below_probe(evaluation: Mapping[str, Any]) -> Advice | None:
    teacher, probe = evaluation["teacher"], evaluation["probe"]
    if teacher is None or probe is None or probe["top1"] - teacher["top1"] < LOST_TO_PROBE:
        return None
    return Advice(
        "teacher_below_probe",
        f"On the {evaluation['split']} images the reprogrammed teacher is right in {teacher['top1']:.1%}, a linear "
        f"probe on the same teacher in {probe['top1']:.1%}: reprogramming cost accuracy on this data. The method `kd` "
        "learns from the probe; run it too and keep the better student.",
    )


def _beyond_teacher(evaluation: Mapping[str, Any], alone: str) -> Advice | None:
    """A teacher that knows less than its student holds it back: on hand signs students above their teacher were 2.6
    points below what labels alone had taught them, on two other data sets none was above (`docs/benchmarks.md`)."""
    student = evaluation["student"]
    who, teacher = next(
        (
            (words, evaluation[name])
            for name, words in (("teacher", "its reprogrammed teacher"), ("probe", "the probe on its teacher"))
            if evaluation[name] is not None
        ),
        ("", None),
    )
    trained_on = evaluation["split"] == Split.TRAIN
    if student is None or teacher is None or trained_on or student["top1"] <= teacher["top1"]:
        return None
    return Advice(
        "student_beyond_teacher",
        f"On the {evaluation['split']} images the student is right in {student['top1']:.1%}, {who} in "
        f"{teacher['top1']:.1%}. The labels may teach it more than this teacher does: run the job again with the "
        f"method `{alone}`, or with a stronger teacher, and keep the better student.",
        warning=False,
    )
