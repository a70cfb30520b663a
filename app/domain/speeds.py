"""What a unit of work costs on one kind of machine, and what can be said of work that was never measured there.

Workers measure: a little in idle time, and all that a job does while it does it. Nothing here is a constant of somebody
else's machine: where there is no measurement, there is no answer.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
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
_OWN_SLOPES = (0.2, 1.1)
"""The same for one network at several sizes."""


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
    """An image step of a student in a job, all in: views, losses, optimiser; subject and size as above, how: see
    app.domain.workload.training_way."""
    LEARN = "learn"
    """The share of that which grows with the images: forward and backward; subject and size as above."""
    STEP = "step"
    """The share of it that a step costs however many images it has: the optimiser above all; subject: the
    architecture, how: the optimiser."""
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


class Way(NamedTuple):
    """What, beside the network and the image's size, decides how long an image step takes: a sample's `how`."""

    method: str
    optimiser: str
    batch_size: int

    def __str__(self) -> str:
        return f"{self.method} {self.optimiser} {self.batch_size}"[:64]

    @classmethod
    def parse(cls, how: str) -> "Way | None":
        words = how.split(" ")
        return cls(words[0], words[1], int(words[2])) if len(words) == 3 and words[2].isdecimal() else None


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
"""The arithmetic of an architecture at a side in pixels, in whatever unit, and at 0 its parameters; None where it is
not known."""
_ANY_OPTIMISER = "adamw"
"""Stands for those whose steps nobody measured: most cost as little as its."""


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

    def of_network(self, work: Work, architecture: str, size: int, how: str | None = None) -> Range | None:
        """Measured, or else read off what other networks or other sizes took; `how` None: in whatever way."""
        return self.exactly(work, architecture, size, how) or self._interpolated(work, architecture, size, how)

    def of_training(self, architecture: str, size: int, how: str) -> Range | None:
        """An image step: as jobs of this kind have told, or else put together from what was measured."""
        told = self.exactly(Work.TRAIN, architecture, size, how)
        way = Way.parse(how)
        if told is not None or way is None:
            return told
        network, beside = self._network_share(architecture, size, way), self._beside(way.method)
        return None if network is None or beside is None else network.plus(beside.times(size**2))

    def _network_share(self, architecture: str, size: int, way: Way) -> Range | None:
        """Forward, backward and the optimiser."""
        learn = self.of_network(Work.LEARN, architecture, size)
        step = self.of_network(Work.STEP, architecture, 0, way.optimiser)
        step = step or self.of_network(Work.STEP, architecture, 0, _ANY_OPTIMISER)
        return None if learn is None or step is None else learn.plus(step.times(1 / way.batch_size))

    def _beside(self, method: str) -> Range | None:
        """What else an image step has cost in jobs, those of this method if there were any: views, above all, so it is
        told for a pixel."""
        found: dict[bool, list[float]] = {}
        for row in self._known.get(Work.TRAIN, ()):
            way = Way.parse(row.how)
            network = None if way is None else self._network_share(row.subject, row.size, way)
            if way is not None and network is not None:
                rest = (statistics.median(row.amounts) - network.expected) / row.size**2
                found.setdefault(way.method == method, []).append(max(0.0, rest))
        values = found.get(True) or found.get(False)
        return Range(min(values), statistics.median(values), max(values)) if values else None

    def is_measured(self, work: Work, architecture: str, size: int) -> bool:
        return self.exactly(work, architecture, size) is not None

    def _interpolated(self, work: Work, architecture: str, size: int, how: str | None) -> Range | None:
        wanted = self._weight(architecture, size)
        points, own = [], []
        for row in self._known.get(work, ()):
            weight = self._weight(row.subject, row.size) if how is None or row.how == how else None
            if weight:
                point = math.log(weight), math.log(statistics.median(row.amounts))
                points.append(point)
                if row.subject == architecture:
                    own.append(point)
        if not wanted or not points:
            return None
        x = math.log(wanted)
        if own:  # at other sizes: from the nearest of them, along a line through the two nearest
            own.sort(key=lambda point: abs(point[0] - x))
            return _around(math.exp(_along(own[:2], _OWN_SLOPES, x, through=own[0])), SPREAD_INTERPOLATED)
        middle = statistics.fmean(x for x, _ in points), statistics.fmean(y for _, y in points)
        if len({x for x, _ in points}) < 2:  # a line needs two points
            return _around(math.exp(_along(points, _SLOPES, x, through=middle)), SPREAD_ONE_POINT)
        off = math.sqrt(statistics.fmean((y - _along(points, _SLOPES, x, through=middle)) ** 2 for x, y in points))
        value = _along(points, _SLOPES, x, through=middle)
        return _around(math.exp(value), max(SPREAD_INTERPOLATED, math.exp(2 * off)))


def _along(
    points: Sequence[tuple[float, float]], slopes: tuple[float, float], x: float, *, through: tuple[float, float]
) -> float:
    """y at x, on a line as steep as the points say, within `slopes`; of a single point: 1."""
    xs, ys = zip(*points, strict=True)
    slope = statistics.linear_regression(xs, ys).slope if len(set(xs)) > 1 else 1.0
    return through[1] + min(slopes[1], max(slopes[0], slope)) * (x - through[0])


def _around(value: float, factor: float) -> Range:
    return Range(value / factor, value, value * factor)
