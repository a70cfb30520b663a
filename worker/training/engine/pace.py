"""How long the rest of a run takes, by its own pace. Arithmetic only: no stage is known here, and no network."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.domain.states import Stage

PRIOR_SECONDS = 2.0
"""What was expected of a stage counts as if it had been seen for so long: the first steps of a stage, which load and
compile, say little."""
WINDOW_SECONDS, WINDOW_SHARE = 12.0, 1 / 3
"""A stage's pace is that of its last twelve seconds, or of the last third of it where that is longer: a machine that
has become busy is noticed, and a validation now and then is not."""
MOST_DRAG = 2.0
"""Later stages do other work, so they are slowed down by the root of what this one is, and by no more than this."""
LEAST_SECONDS_FOR_DRAG = 5.0
_MOST_MARKS = 512
MOST_PROGRESS = 0.999
"""Until the job has ended."""


class Planned(NamedTuple):
    """A piece of work in its stage, in the order of the run."""

    stage: Stage
    part: str
    """Whose, where several students take their turns; else empty."""
    name: str
    seconds: float
    """As expected on this machine."""


@dataclass(frozen=True)
class Plan:
    """What the run has before it."""

    pieces: Sequence[Planned]

    def seconds(self, stage: Stage, part: str | None = None) -> float:
        return sum(piece.seconds for piece in self.pieces if piece.stage is stage and part in {None, piece.part})

    def span(self, stage: Stage, part: str) -> tuple[float, float] | None:
        """From where to where in its stage a part goes; None if the plan does not have it."""
        ends = list(self._ends(stage))
        own = [(start, end) for piece, start, end in ends if piece.part == part]
        return (own[0][0], own[-1][1]) if own else None

    def end_of(self, stage: Stage, part: str, name: str) -> float | None:
        """How much of its stage is done after a piece; None if the plan does not have it."""
        found = self.ends_of(stage, part, name)
        return found[-1] if found else None

    def ends_of(self, stage: Stage, part: str, name: str) -> list[float]:
        """The same after each of the pieces of this name, in their order."""
        return [end for piece, _, end in self._ends(stage) if (piece.part, piece.name) == (part, name)]

    def _ends(self, stage: Stage) -> Iterable[tuple[Planned, float, float]]:
        whole, done = self.seconds(stage), 0.0
        for piece in self.pieces:
            if piece.stage is stage:
                before, done = done, done + piece.seconds
                yield piece, before / whole if whole else 0.0, done / whole if whole else 1.0


class Pace:
    """Told where the run is, it says how much is left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.plan: Plan | None = None
        """Until there is one, nothing is known."""
        self._clock = clock
        self._stage: Stage | None = None
        self._began = clock()
        self._marks: deque[tuple[float, float]] = deque(maxlen=_MOST_MARKS)
        """(time, fraction of the stage), the oldest first."""
        self._spent: dict[Stage, float] = {}

    def begin(self, stage: Stage) -> None:
        """Enter a stage, closing the one before."""
        self.end()
        self._stage, self._began = stage, self._clock()
        self._marks.clear()

    def end(self) -> None:
        if self._stage is not None:
            self._spent[self._stage] = self._clock() - self._began
            self._stage = None

    def at(self, fraction: float) -> None:
        """So much of the stage is done. A resumed stage begins in its middle: its pace is measured from there."""
        now = self._clock()
        if len(self._marks) == _MOST_MARKS:  # thin out: what matters is how far back they reach
            kept = list(self._marks)[::2]
            self._marks.clear()
            self._marks.extend(kept)
        self._marks.append((now, fraction))

    def remaining(self) -> float | None:
        """Seconds until the job has ended; None while that is unknown."""
        if self.plan is None or self._stage is None:
            return None
        whole = self._whole_stage()
        later = sum(self.plan.seconds(stage) for stage in _after(self._stage)) * self._drag(whole)
        return (1 - self._fraction) * whole + later

    def progress(self) -> float:
        """Of the whole job, in agreement with what remains."""
        remaining = self.remaining()
        if remaining is None or self.plan is None or self._stage is None:
            return 0.0
        # what was resumed behind has taken its time in another attempt
        before = sum(max(self._spent.get(stage, 0.0), 0.0) for stage in Stage if stage not in _from(self._stage))
        done = before + self._fraction * self._whole_stage()
        return min(MOST_PROGRESS, done / max(1e-9, done + remaining))

    @property
    def _fraction(self) -> float:
        return self._marks[-1][1] if self._marks else 0.0

    def _whole_stage(self) -> float:
        """Seconds that the whole of the stage takes at the present pace."""
        assert self.plan is not None and self._stage is not None
        expected = self.plan.seconds(self._stage)
        if not self._marks:
            return expected
        now, fraction = self._marks[-1]
        window = max(WINDOW_SECONDS, (now - self._marks[0][0]) * WINDOW_SHARE)
        since, from_ = next((mark for mark in reversed(self._marks) if now - mark[0] >= window), self._marks[0])
        if expected <= 0:
            covered = fraction - from_
            return (now - since) / covered if covered > 0 else 0.0
        return (now - since + PRIOR_SECONDS) / (fraction - from_ + PRIOR_SECONDS / expected)

    def _drag(self, whole: float) -> float:
        assert self.plan is not None and self._stage is not None
        expected = self.plan.seconds(self._stage)
        if expected <= 0 or not self._marks or self._marks[-1][0] - self._marks[0][0] < LEAST_SECONDS_FOR_DRAG:
            return 1.0
        ratio = float((whole / expected) ** 0.5)
        return min(MOST_DRAG, max(1 / MOST_DRAG, ratio))


class StepClock:
    """Passes on how far a loop is, and remembers how many steps this process has taken in how long."""

    def __init__(self, told: Callable[[float], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._told, self._clock = told, clock
        self._began: float | None = None
        self._first = self._last = 0.0
        self.count = 0
        """Steps between the first and the last one."""
        self.seconds = 0.0
        """What these took."""

    def __call__(self, fraction: float) -> None:
        now = self._clock()
        if self._began is None:
            self._began, self._first = now, fraction
        else:
            self.count += 1
            self.seconds, self._last = now - self._began, fraction
        self._told(fraction)

    @property
    def of(self) -> int:
        """Steps of the whole loop."""
        covered = self._last - self._first
        return round(self.count / covered) if covered > 0 else self.count


def _from(stage: Stage) -> list[Stage]:
    stages = list(Stage)
    return stages[stages.index(stage) :]


def _after(stage: Stage) -> list[Stage]:
    return _from(stage)[1:]
