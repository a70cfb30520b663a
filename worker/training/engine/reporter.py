"""What the run says while it runs: JSON lines on standard output (app.domain.progress)."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TextIO

from app.domain.progress import IMAGES_PER_SECOND, EventLine, Line, MetricLine, ProgressLine, SpeedLine, StageLine
from app.domain.speeds import Work
from app.domain.states import Stage
from worker.training.engine.pace import Pace, Plan

_PROGRESS_SECONDS = 0.5
_BEGUN_AT_NOTHING = (Stage.EVALUATE, Stage.EXPORT)
"""The others go on from what an earlier attempt or job has left: their pace is measured from their first step."""


@dataclass(frozen=True)
class _Part:
    """A span of a stage, and how its curves are told from those of the other parts."""

    name: str = ""
    low: float = 0.0
    high: float = 1.0
    first_step: int = 0
    images_per_step: int = 0
    """0: its steps are not counted in images."""


class Reporter:
    """Turns "this stage is half done" into the progress of the whole job, which never goes back, and an ETA."""

    def __init__(self, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds: dict[str, float] = {}
        """Wall time of each finished stage, and of each `timed` part of one."""
        self.record: Callable[[str, MetricLine], None] = lambda part, line: None
        """Told of every point, with the name of the part, and with names and steps as if there were no other part."""
        self._out = out if out is not None else sys.stdout
        self._clock, self._pace = clock, Pace(clock)
        self._stage: Stage | None = None
        self._part = _Part()
        self._began = self._last_line = clock()
        self._point: tuple[int, float] | None = None
        """Step and time of the last point of the present part."""
        self._progress = 0.0

    def emit(self, line: Line) -> None:
        print(line.model_dump_json(), file=self._out, flush=True)

    def begin(self, stage: Stage) -> None:
        """Enter a stage, closing the one before."""
        self.end()
        self._stage, self._began = stage, self._clock()
        self._pace.begin(stage)
        self.emit(StageLine(stage=stage))
        if stage in _BEGUN_AT_NOTHING:
            self._pace.at(0.0)
        if self.plan is not None:
            self._tell()

    def end(self) -> None:
        """Close the present stage: its seconds are booked."""
        self.book()
        self._stage = None

    def book(self) -> None:
        """Book the seconds of the present stage, as far as it is."""
        if self._stage is not None:
            self.seconds[self._stage] = self._clock() - self._began

    @property
    def plan(self) -> Plan | None:
        """How long each piece of the run is expected to take; see worker.training.engine.eta."""
        return self._pace.plan

    @plan.setter
    def plan(self, plan: Plan) -> None:
        self._pace.plan = plan

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Book the seconds of a part of the present stage under a name of its own; parts of one name add up.

        Name what costs, not what calls it: `decode`, `teacher`. A part within a part of the same name counts twice.
        """
        began = self._clock()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self._clock() - began

    @contextmanager
    def part(self, name: str, number: int, count: int, *, steps: int = 0, images_per_step: int = 0) -> Iterator[None]:
        """The `number`-th of `count` parts of the present stage, as a stage has one for each student; as long as the
        plan says, or equal ones.

        Inside, progress is that of the part, its metrics are called `name/…`, its steps count on from those of the
        parts before, which had `steps` each, and its seconds are booked as `stage/name`. An empty name is for a stage
        that has one part only: then nothing differs. With `images_per_step` each point but the first tells the speed
        since the one before.
        """
        assert self._stage is not None
        planned = self.plan.span(self._stage, name) if self.plan is not None and name else None
        low, high = planned or (number / count, (number + 1) / count)
        self._part = _Part(name, low, high, number * steps, images_per_step)
        self._point = None
        try:
            with self.timed(f"{self._stage}/{name}") if name else nullcontext():
                yield
        finally:
            self._part = _Part()

    def progress(self, fraction: float, *, force: bool = False) -> None:
        """`fraction` of the present stage is done, or of the present part of it."""
        assert self._stage is not None
        self._at(self._part.low + (self._part.high - self._part.low) * fraction, force=force)

    def did(self, name: str) -> None:
        """A piece of the plan, in the present part of the stage, is done: a file, for instance. Always told."""
        assert self._stage is not None
        fraction = self.plan.end_of(self._stage, self._part.name, name) if self.plan is not None else None
        if fraction is not None:
            self._at(fraction, force=True)

    def learned(self, work: Work, amount: float, units: float, subject: str = "", size: int = 0, how: str = "") -> None:
        """So many seconds (or bytes) did so many units of work take; none of it says nothing."""
        if units > 0 and amount > 0:
            self.emit(SpeedLine(work=work, subject=subject, size=size, how=how, amount=amount / units))

    def _at(self, fraction: float, *, force: bool) -> None:
        assert self._stage is not None
        self._pace.at(fraction)
        now = self._clock()
        if not force and now - self._last_line < _PROGRESS_SECONDS:
            return
        self._tell()

    def _tell(self) -> None:
        assert self._stage is not None
        self._last_line = self._clock()
        self._progress = max(self._progress, self._pace.progress())
        self.emit(ProgressLine(stage=self._stage, progress=self._progress, eta_seconds=self._pace.remaining()))

    def within(self, low: float, high: float) -> Callable[[float], None]:
        """A progress function for a part of the present stage, from `low` to `high` of it."""
        return lambda fraction: self.progress(low + (high - low) * fraction)

    def metric(self, step: int, values: dict[str, float]) -> None:
        assert self._stage is not None
        self.record(self._part.name, MetricLine(stage=self._stage, step=step, values=values))
        prefix = f"{self._part.name}/" if self._part.name else ""
        values = {prefix + name: value for name, value in values.items()} | self._speed(step)
        self.emit(MetricLine(stage=self._stage, step=self._part.first_step + step, values=values))

    def event(self, code: str, message: str, *, warning: bool = False) -> None:
        self.emit(EventLine(level="warning" if warning else "info", code=code, message=message))

    def _speed(self, step: int) -> dict[str, float]:
        before, self._point = self._point, (step, self._clock())
        if before is None or self._part.images_per_step == 0 or self._point[1] == before[1]:
            return {}
        seconds = self._point[1] - before[1]
        return {IMAGES_PER_SECOND: round(self._part.images_per_step * (step - before[0]) / seconds, 1)}
