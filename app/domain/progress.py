"""What the training package prints: one JSON object a line on standard output, and nothing else there."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from app.domain.base import Frozen
from app.domain.previews import PreviewLine
from app.domain.speeds import Sample
from app.domain.states import Stage

IMAGES_PER_SECOND = "images_per_second"
"""How fast a student learns: the name of that metric, which is the job's and never a single student's."""


class StageLine(Frozen):
    """A stage has begun."""

    type: Literal["stage"] = "stage"
    stage: Stage


class ProgressLine(Frozen):
    """How far the job is, printed about once a second at most."""

    type: Literal["progress"] = "progress"
    stage: Stage
    progress: float = Field(ge=0, le=1)
    """Of the whole job; never goes back."""
    eta_seconds: float | None = Field(default=None, ge=0)
    """Until the job ends, the storing of its files included; None while the run cannot know."""


class MetricLine(Frozen):
    """One point of the curves. Stage and step are its key: a later point of the same key replaces it.

    With several students each name begins with the student's, `resnet18/loss`, and the steps count on from student to
    student, so that the second one's first step follows the first one's last.
    """

    type: Literal["metric"] = "metric"
    stage: Stage
    step: int = Field(ge=0)
    """Optimiser step within the stage."""
    values: dict[str, float]
    """Name to value: losses are means over the steps since the last point; accuracies are fractions in 0..1."""


class EventLine(Frozen):
    """Something a person would want to know: a clamped batch, a fallback, a chosen setting."""

    type: Literal["event"] = "event"
    level: Literal["info", "warning"] = "info"
    code: str
    message: str


class FailureLine(Frozen):
    """The run ends without a student. Same words as an HTTP problem: what happened, and what to do."""

    type: Literal["failure"] = "failure"
    code: str
    detail: str
    hint: str | None = None


class DoneLine(Frozen):
    """The run is complete; `manifest.json` in the output folder lists the files."""

    type: Literal["done"] = "done"
    metrics: dict[str, float]
    """As in the manifest: with several students, `<student>/` stands before the name of what is a student's own."""


class SpeedLine(Sample):
    """What a unit of work has cost here: the worker remembers it, so that later jobs know how long they will take."""

    type: Literal["speed"] = "speed"


Line = Annotated[
    StageLine | ProgressLine | MetricLine | EventLine | SpeedLine | PreviewLine | FailureLine | DoneLine,
    Field(discriminator="type"),
]
LINE: TypeAdapter[Line] = TypeAdapter(Line)
