"""What a job has to tell to another tool, and what such a tool is to us."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from tdmr import models
from tdmr._display import teacher_to_student
from tdmr.errors import Missing

Option = str | int | float | bool
_CARDS = ("model_card.md", "model_card.html", "manifest.json", "comparison.json")


@dataclass(frozen=True)
class Scalar:
    """One point of one curve."""

    name: str
    """The stage and the value: `distill/loss`, or `distill/resnet18/loss` of a job with several students."""
    step: int
    value: float


@dataclass(frozen=True)
class Record:
    """A job as other tools know one: options, curves, results, files."""

    job_id: str
    state: str
    url: str | None
    """Of the job, on the service; None where nobody knows under which address people reach it."""
    spec: Mapping[str, Any]
    metadata: Mapping[str, str]
    """The user's own labels."""
    dataset_id: str
    dataset_digest: str | None
    """Of the content of the data set; None if it was deleted."""
    curves: Sequence[Scalar]
    """In the order of the training."""
    results: Mapping[str, float]
    """What came of it."""
    started_at: datetime
    finished_at: datetime | None
    folder: Path | None = None
    """Where its files are; None if they were not asked for, or there are none."""

    @property
    def name(self) -> str:
        """What a person recognises it by."""
        return f"{teacher_to_student(self.spec)} {self.job_id[-6:]}".strip()

    def options(self) -> dict[str, Option]:
        """The spec without its layers: `distill.image_steps`. Lists are JSON; what is null is left out."""
        return dict(_flat(self.spec))

    def tags(self) -> dict[str, str]:
        """What it can be found by."""
        known = {
            "tdmr.job_id": self.job_id,
            "tdmr.job_url": self.url,
            "tdmr.state": self.state,
            "tdmr.dataset_id": self.dataset_id,
            "tdmr.dataset_digest": self.dataset_digest,
        }
        own = {f"metadata.{name}": value for name, value in self.metadata.items()}
        return {name: value for name, value in known.items() if value is not None} | own

    def files(self) -> Sequence[Path]:
        """All below `folder`, in the order of their names."""
        if self.folder is None:
            return ()
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


def scalars(points: Iterable[models.MetricPoint]) -> Sequence[Scalar]:
    """The curves of a job, value by value."""
    return [
        Scalar(f"{point.stage}/{name}", point.step, value) for point in points for name, value in point.values.items()
    ]


def results(
    metrics: Mapping[str, float],
    points: Iterable[models.MetricPoint],
    evaluations: Mapping[str | None, models.Evaluation],
) -> Mapping[str, float]:
    """What came of a job: those of its latest metrics that belong to no curve, and what each evaluation says.

    Args:
        evaluations: by student; under None where the job has one.
    """
    drawn = {name for point in points for name in point.values}
    found = {name: value for name, value in metrics.items() if name not in drawn}
    for student, evaluation in evaluations.items():
        prefix = "" if student is None else f"{student}/"
        found |= {f"evaluation/{prefix}{name}": value for name, value in _figures(evaluation)}
    return found


class Target(Protocol):
    """A tool that jobs are exported to."""

    def check(self) -> None:
        """
        Raises:
            Missing: a package is not installed.
        """
        ...

    def wants(self, name: str) -> bool:
        """Whether a published file has to be there."""
        ...

    def write(self, record: Record) -> str:
        """Returns the folder or address where it is to be seen now."""
        ...


def is_model_file(name: str) -> bool:
    """Whether a published file says nothing of single images: weights, programs, the card with its figures, manifests.

    The others name the files of the data set, which may not go where the model goes.
    """
    last = name.rpartition("/")[2]
    return last in _CARDS or last.startswith("student.") or last.endswith((".safetensors", ".svg"))


def lacking(package: str, extra: str) -> Missing:
    """The error for a package that is not installed."""
    return Missing(f"{package} is not installed. This export needs: pip install 'tdmr-client[{extra}]'")


def _figures(evaluation: models.Evaluation) -> Iterator[tuple[str, float]]:
    for who in ("student", "teacher", "probe"):
        scores: models.PredictorScores | None = getattr(evaluation, who)
        if scores is None:
            continue
        calibration = scores.calibration
        figures = {"top1": scores.top1, "top5": scores.top5, "macro_f1": scores.macro_f1, "ece": calibration.ece}
        yield from ((f"{who}_{name}", value) for name, value in figures.items() if value is not None)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Option]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, Option):
            yield f"{prefix}{name}", value
        elif value is not None:
            yield f"{prefix}{name}", json.dumps(value, ensure_ascii=False)
