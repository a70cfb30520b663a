"""What a unit of work costs on one kind of machine, and what can be said of work that was never measured there.

Workers measure: a little in idle time, and all that a job does while it does it. Nothing here is a constant of somebody
else's machine: where there is no measurement, there is no answer.
"""

import math
import statistics
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from app.domain.base import Frozen

ACCELERATED = "GPU "
"""With this begins the name of a kind of machine that trains on an accelerator."""
KEPT_SAMPLES = 5
"""Of each kind of work. The median of five forgets one run beside other work, and a changed machine after three."""
SPREAD_MEASURED, SPREAD_TOLD = 1.5, 1.25
"""Factors up and down that a measurement in idle time is good for, without what surrounds the work in a job; and a
single sample of a job."""
SPREAD_ONE_POINT, SPREAD_INTERPOLATED = 3.0, 1.6
"""The same for a network that was not measured: scaled from a single other one, and, at the least, read off a line
through several. Networks of equal arithmetic differ so much in speed."""
_SLOPES = (0.6, 1.1)
"""Of time over arithmetic, both as logarithms. Small networks use a machine badly, so the line is flatter than 1; one
beyond these is noise of two points near each other."""


class Work(StrEnum):
    """What is counted. An amount is in seconds a unit, where nothing else is said."""

    START = "start"
    """A job's process, until it begins with its first stage."""
    DECODE = "decode"
    """An image."""
    FORWARD = "forward"
    """An image through a network, without gradients; subject: the architecture, size: the image's side."""
    REPROGRAM = "reprogram"
    """A step of stage 1; subject: what it trains."""
    TRAIN = "train"
    """An image step of a student, all in: views, losses, optimiser; subject and size as above."""
    EVALUATE = "evaluate"
    """An image that a student is judged by."""
    EXPORT = "export"
    """A file, written and checked; subject: the format."""
    TIME = "time"
    """A file whose latency is taken; subject: the format."""
    DESCRIBE = "describe"
    """A student's manifest, figures and model card."""
    PUBLISH = "publish"
    """The files of one student, stored."""
    TAP_WIDTH = "tap_width"
    """Numbers that a teacher answers for one view; subject: the architecture."""
    ACTIVATIONS = "activations"
    """Bytes that training keeps of one image; subject and size as above."""
    RESIDENT = "resident"
    """Bytes of a training process before it has a network."""
    PEAK_MEMORY = "peak_memory"
    """Bytes that a job took at most; subject: its student, size, how."""
    PEAK_DEVICE_MEMORY = "peak_device_memory"
    """The same of the accelerator's memory."""


class Sample(Frozen):
    """One measurement, as the training prints it."""

    work: Work
    subject: str = Field(default="", max_length=128)
    size: int = Field(default=0, ge=0)
    how: str = Field(default="", max_length=64)
    amount: float = Field(gt=0)
    """Of one unit."""


class Known(NamedTuple):
    """What is remembered of one kind of work."""

    work: str
    subject: str
    size: int
    how: str
    amounts: tuple[float, ...]
    of_jobs: bool


class Range(NamedTuple):
    """An estimate, and between what the truth lies most of the time."""

    low: float
    expected: float
    high: float

    def times(self, factor: float) -> "Range":
        return Range(*(value * factor for value in self))

    def plus(self, other: "Range") -> "Range":
        return Range(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


NOTHING = Range(0.0, 0.0, 0.0)
Weight = Callable[[str, int], float | None]
"""The arithmetic of an architecture at a side in pixels, in whatever unit; None where it is not known."""


class Speeds:
    """All that is known of one kind of machine."""

    def __init__(self, known: Iterable[Known], weight: Weight = lambda subject, size: None) -> None:
        """`weight` lets networks be compared that were not measured with those that were."""
        self._known: dict[str, list[Known]] = {}
        for row in known:
            self._known.setdefault(row.work, []).append(row)
        self._weight = weight

    def __bool__(self) -> bool:
        return bool(self._known)

    def of(self, work: Work) -> Range | None:
        """Of work that is the same whatever is trained."""
        return self.exactly(work)

    def exactly(self, work: Work, subject: str = "", size: int = 0, how: str | None = None) -> Range | None:
        """What was measured of this very work; `how` None: in whatever way."""
        rows = [row for row in self._known.get(work, ()) if (row.subject, row.size) == (subject, size)]
        rows = [row for row in rows if how is None or row.how == how]
        told = [row for row in rows if row.of_jobs] or rows
        amounts = [amount for row in told for amount in row.amounts]
        if not amounts:
            return None
        middle = statistics.median(amounts)
        factor = SPREAD_TOLD if told[0].of_jobs else SPREAD_MEASURED
        return Range(min(*amounts, middle / factor), middle, max(*amounts, middle * factor))

    def of_network(self, work: Work, architecture: str, size: int, how: str = "") -> Range | None:
        """Measured, or else read off what other networks or other sizes took."""
        found = self.exactly(work, architecture, size, how) or self.exactly(work, architecture, size)
        return found or self._interpolated(work, architecture, size)

    def is_measured(self, work: Work, architecture: str, size: int) -> bool:
        return self.exactly(work, architecture, size) is not None

    def _interpolated(self, work: Work, architecture: str, size: int) -> Range | None:
        wanted = self._weight(architecture, size)
        points = []
        for row in self._known.get(work, ()):
            weight = self._weight(row.subject, row.size)
            if weight:
                points.append((math.log(weight), math.log(statistics.median(row.amounts)), row.subject == architecture))
        if not wanted or not points:
            return None
        own = [point for point in points if point[2]]
        if own:  # at another size: time follows arithmetic
            x, y, _ = min(own, key=lambda point: abs(point[0] - math.log(wanted)))
            return _around(math.exp(y + math.log(wanted) - x), SPREAD_INTERPOLATED)
        xs, ys = [x for x, _, _ in points], [y for _, y, _ in points]
        if len(set(xs)) < 2:  # a line needs two points
            return _around(math.exp(statistics.fmean(ys) + math.log(wanted) - statistics.fmean(xs)), SPREAD_ONE_POINT)
        slope = min(_SLOPES[1], max(_SLOPES[0], statistics.linear_regression(xs, ys).slope))
        base = statistics.fmean(ys) - slope * statistics.fmean(xs)
        off = math.sqrt(statistics.fmean((y - base - slope * x) ** 2 for x, y in zip(xs, ys, strict=True)))
        return _around(math.exp(base + slope * math.log(wanted)), max(SPREAD_INTERPOLATED, math.exp(2 * off)))


def _around(value: float, factor: float) -> Range:
    return Range(value / factor, value, value * factor)
