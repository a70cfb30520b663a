"""What the run says while it runs: JSON lines on standard output (app.domain.progress)."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TextIO

from app.domain.progress import IMAGES_PER_SECOND, EventLine, Line, MetricLine, ProgressLine, StageLine
from app.domain.states import Stage

_PROGRESS_SECONDS = 0.5
_SECONDS_TO_KNOW_THE_PACE = 1.0
_MOST_SLOWDOWN = 3.0


@dataclass(frozen=True)
class _Part:
    """A span of a stage, and how its curves are told from those of the other parts."""

    low: float = 0.0
    high: float = 1.0
    prefix: str = ""
    first_step: int = 0
    images_per_step: int = 0
    """0: its steps are not counted in images."""


class Reporter:
    """Turns "this stage is half done" into the progress of the whole job, which never goes back, and an ETA."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.expected: dict[Stage, float] = dict.fromkeys(Stage, 1.0)
        """Seconds each stage is expected to take; see worker.training.engine.eta."""
        self.seconds: dict[str, float] = {}
        """Wall time of each finished stage, and of each `timed` part of one."""
        self.record: Callable[[str, MetricLine], None] = lambda part, line: None
        """Told of every point, with the name of the part, and with names and steps as if there were no other part."""
        self._out = out if out is not None else sys.stdout
        self._stage: Stage | None = None
        self._part = _Part()
        self._began = self._last_line = time.monotonic()
        self._first: tuple[float, float] | None = None
        self._point: tuple[int, float] | None = None
        """Step and time of the last point of the present part."""
        self._progress = 0.0

    def emit(self, line: Line) -> None:
        print(line.model_dump_json(), file=self._out, flush=True)

    def begin(self, stage: Stage) -> None:
        """Enter a stage, closing the one before."""
        self.end()
        self._stage, self._began, self._first = stage, time.monotonic(), None
        self.emit(StageLine(stage=stage))

    def end(self) -> None:
        """Close the present stage: its seconds are booked."""
        if self._stage is not None:
            self.seconds[self._stage] = time.monotonic() - self._began
            self._stage = None

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Book the seconds of a part of the present stage under a name of its own; parts of one name add up.

        Name what costs, not what calls it: `decode`, `teacher`. A part within a part of the same name counts twice.
        """
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began

    @contextmanager
    def part(self, name: str, number: int, count: int, *, steps: int = 0, images_per_step: int = 0) -> Iterator[None]:
        """The `number`-th of `count` equal parts of the present stage, as a stage has one for each student.

        Inside, progress is that of the part, its metrics are called `name/…`, its steps count on from those of the
        parts before, which had `steps` each, and its seconds are booked as `stage/name`. An empty name is for a stage
        that has one part only: then nothing differs. With `images_per_step` each point but the first tells the speed
        since the one before.
        """
        assert self._stage is not None
        prefix = f"{name}/" if name else ""
        self._part = _Part(number / count, (number + 1) / count, prefix, number * steps, images_per_step)
        self._point = None
        try:
            with self.timed(f"{self._stage}/{name}") if name else nullcontext():
                yield
        finally:
            self._part = _Part()

    def progress(self, fraction: float, *, force: bool = False) -> None:
        """`fraction` of the present stage is done, or of the present part of it."""
        assert self._stage is not None
        fraction = self._part.low + (self._part.high - self._part.low) * fraction
        now = time.monotonic()
        if self._first is None:  # a resumed stage begins in its middle: its pace is measured from there
            self._first = fraction, now
        if not force and now - self._last_line < _PROGRESS_SECONDS:
            return
        self._last_line = now
        before = sum(self.expected[stage] for stage in Stage if _ORDER[stage] < _ORDER[self._stage])
        done = (before + fraction * self.expected[self._stage]) / sum(self.expected.values())
        self._progress = max(self._progress, min(1.0, done))
        self.emit(ProgressLine(stage=self._stage, progress=self._progress, eta_seconds=self._eta(fraction, now)))

    def within(self, low: float, high: float) -> Callable[[float], None]:
        """A progress function for a part of the present stage, from `low` to `high` of it."""
        return lambda fraction: self.progress(low + (high - low) * fraction)

    def metric(self, step: int, values: dict[str, float]) -> None:
        assert self._stage is not None
        self.record(self._part.prefix.rstrip("/"), MetricLine(stage=self._stage, step=step, values=values))
        values = {self._part.prefix + name: value for name, value in values.items()} | self._speed(step)
        self.emit(MetricLine(stage=self._stage, step=self._part.first_step + step, values=values))

    def event(self, code: str, message: str, *, warning: bool = False) -> None:
        self.emit(EventLine(level="warning" if warning else "info", code=code, message=message))

    def _speed(self, step: int) -> dict[str, float]:
        before, self._point = self._point, (step, time.monotonic())
        if before is None or self._part.images_per_step == 0 or self._point[1] == before[1]:
            return {}
        seconds = self._point[1] - before[1]
        return {IMAGES_PER_SECOND: round(self._part.images_per_step * (step - before[0]) / seconds, 1)}

    def _eta(self, fraction: float, now: float) -> float | None:
        """The rest of this stage at its own pace, and the later ones as expected, slowed down as this one was."""
        assert self._stage is not None and self._first is not None
        covered, spent = fraction - self._first[0], now - self._first[1]
        if covered <= 0 or spent < _SECONDS_TO_KNOW_THE_PACE:
            return None
        pace = spent / covered
        slowdown = min(_MOST_SLOWDOWN, max(1 / _MOST_SLOWDOWN, pace / max(self.expected[self._stage], 1e-3)))
        later = sum(self.expected[stage] for stage in Stage if _ORDER[stage] > _ORDER[self._stage])
        return max(0.0, pace * (1 - fraction) + later * slowdown)


_ORDER = {stage: place for place, stage in enumerate(Stage)}
