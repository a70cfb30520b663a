"""What `job.stream()` tells, one after the other."""

from __future__ import annotations

from typing import Any, Literal

from tdmr import models
from tdmr._sse import Frame


class EventUpdate(models.JobEvent):
    """Something happened: a change of state, a stage, a note or a warning."""

    type: Literal["event"] = "event"

    def __str__(self) -> str:
        return f"{self.created_at:%H:%M:%S} {self.kind}: {self.message or self.code}"


class MetricsUpdate(models.Model):
    """Points of the curves. Where a resumed attempt goes over a step again, the later one counts."""

    type: Literal["metrics"] = "metrics"
    points: list[models.MetricPoint]

    def __str__(self) -> str:
        last = self.points[-1]
        return f"{last.stage} step {last.step}: {shown_values(last.values)}" if self.points else "no points"


class ProgressUpdate(models.Model):
    """How far the job is. The fields are those of the job, which has them, too."""

    type: Literal["progress"] = "progress"
    state: models.JobState
    stage: models.Stage | None = None
    progress: float = 0.0
    eta_seconds: float | None = None
    queue: models.QueuePosition | None = None
    metrics: dict[str, float] = {}

    def __str__(self) -> str:
        return f"{self.state}{f', {self.stage}' if self.stage else ''}, {self.progress:.0%}"


class EndUpdate(models.Model):
    """The last one: the job as it ended."""

    type: Literal["end"] = "end"
    job: models.Job

    def __str__(self) -> str:
        error = self.job.error
        return f"{self.job.state}" + (f": {error.detail}" if error else "")


Update = EventUpdate | MetricsUpdate | ProgressUpdate | EndUpdate


def read_update(frame: Frame) -> Update | None:
    """None for a kind of event that a newer service sends."""
    if frame.event == "event":
        return EventUpdate.model_validate_json(frame.data)
    if frame.event == "metrics":
        return MetricsUpdate.model_validate_json(frame.data)
    if frame.event == "progress":
        return ProgressUpdate.model_validate_json(frame.data)
    if frame.event == "end":
        return EndUpdate(job=models.Job.model_validate_json(frame.data))
    return None


def shown_values(values: dict[str, Any]) -> str:
    """Fractions as percentages, losses as numbers."""
    return ", ".join(
        f"{name} {value:.1%}" if name.endswith(("accuracy", "agreement", "top1")) else f"{name} {value:.4g}"
        for name, value in values.items()
        if isinstance(value, int | float)
    )
