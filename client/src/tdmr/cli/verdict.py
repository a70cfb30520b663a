"""What came of a job, in a few lines."""

from __future__ import annotations

from collections.abc import Sequence

from tdmr import Job, models, problems
from tdmr.errors import Unexpected
from tdmr.progress import size

Fact = tuple[str, object]


def verdict(job: Job) -> Sequence[Fact]:
    """The student beside what it learned from, with intervals; the file chosen by the constraints; the files."""
    facts: list[Fact] = []
    for student in _students(job):
        try:
            evaluation = job.evaluation(student=student)
        except (problems.NotFound, problems.StudentRequired, Unexpected):
            continue  # the job had no evaluation, or another version wrote it
        facts += _scores(evaluation, student)
    if isinstance(job.choice, models.Choice):
        facts.append(("chosen", job.choice.summary))
    artifacts = job.artifacts()
    facts.append(("files", f"{len(artifacts)}, {size(sum(one.bytes for one in artifacts))}"))
    return facts


def _students(job: Job) -> Sequence[str | None]:
    several = job.spec.get("students") if isinstance(job.spec, dict) else job.spec.students
    return several or [None]


def _scores(evaluation: models.Evaluation, student: str | None) -> Sequence[Fact]:
    images = f"on {evaluation.images:,} {evaluation.split} images"
    rows = (
        (student or "student", evaluation.student),
        ("teacher", evaluation.teacher),
        ("linear probe", evaluation.probe),
    )
    return [(name, f"{_share(scores)} {images}") for name, scores in rows if scores is not None]


def _share(scores: models.PredictorScores) -> str:
    low, high = scores.top1_interval
    return f"{scores.top1:.1%} ({low:.1%} – {high:.1%})"
