"""Which of the exported files fits a device and a task: what may be demanded, and the answer.

A job of one student has a few files to choose among, a job of several has those of all.
"""

from collections.abc import Iterable, Sequence
from math import inf
from typing import Literal

from pydantic import Field, StrictFloat

from app.domain.base import Frozen, WholeNumber


class Constraints(Frozen):
    """What a file must keep to. Of all exported files that do, the most accurate is chosen, the faster one if two are
    equally accurate. Where none does, the job succeeds all the same, and says which comes closest."""

    max_latency_ms: StrictFloat | None = Field(default=None, gt=0, le=1e6)
    """Most milliseconds for one image: the median of the timed calls with a batch of 1 on the worker's own CPU, with
    the threads that the manifest states. The file is what is timed, whatever its format. Judge another device by
    measuring there; on the worker's it tells which of two files is faster."""
    max_bytes: WholeNumber | None = Field(default=None, ge=1, le=2**40)
    """Largest file, as it is downloaded."""
    min_accuracy: StrictFloat | None = Field(default=None, ge=0, le=1)
    """Least top-1 accuracy, as a fraction, on the images that the student is evaluated on."""


class Candidate(Frozen):
    """An exported file, by what it is chosen for."""

    student: str
    """As the spec calls it."""
    file: str
    """As the job's manifest calls it: `student.onnx`, or `resnet18/student.onnx`."""
    accuracy: float
    """Top-1, as a fraction, on the images that the student is evaluated on."""
    accuracy_interval: tuple[float, float] | None = None
    """Wilson's 95 % interval of it, from the number of images alone."""
    latency_ms: float | None
    """Median for one image on the worker's CPU; None where it was not measured."""
    latency_p95_ms: float | None = None
    """Not exceeded by 95 % of the same calls."""
    bytes: int
    """Size of the file."""
    parameters: int | None = None
    """Of the student, with its classifier."""
    multiply_adds: int | None = None
    """For one image; see the manifest's `student`."""
    pareto: bool = False
    """No other file is as accurate and faster, or as fast and more accurate."""


class Miss(Frozen):
    """A constraint that a file does not keep to."""

    constraint: Literal["max_latency_ms", "max_bytes", "min_accuracy"]
    """Which one."""
    wanted: float
    """Its bound."""
    got: float | None
    """None where it was not measured."""
    by: float | None
    """How far beyond what was wanted, in the constraint's own unit."""


class Choice(Frozen):
    """The file that answers the job's `constraints`."""

    met: bool
    """Whether it keeps to all of them. If not, it is the one that comes closest: `misses` tells by how much."""
    student: str
    """The student's name in the spec."""
    file: str
    """The file's name, for example `student.onnx` or `resnet18/student.onnx`."""
    accuracy: float
    """Top-1 accuracy of the file, as a fraction."""
    latency_ms: float | None
    """Median for one image on the worker's CPU; null where it was not measured."""
    bytes: int
    """Size of the file."""
    misses: tuple[Miss, ...] = ()
    """The constraints that it does not keep to."""
    constraints: Constraints
    """As they were asked for."""
    summary: str
    """All this in a sentence or two."""


class Comparison(Frozen):
    """`comparison.json`: every exported file of a job's students."""

    format_version: int = 1
    latency: str
    """Under which conditions `latency_ms` was measured."""
    accuracy: str
    """On which images `accuracy` was measured."""
    files: tuple[Candidate, ...]
    """Most accurate first, then fastest first."""
    choice: Choice | None
    """None where the job has no constraints."""


def choose(candidates: Sequence[Candidate], constraints: Constraints) -> Choice | None:
    """The most accurate candidate that fits, the fastest of equals; if none fits, the one that comes closest.

    How far a candidate is off is the sum over its misses, each relative to what was wanted, so that milliseconds,
    bytes and fractions can be added: 10 % too slow and 5 % too large are 15 %.

    Returns:
        None where there is nothing to choose from.
    """
    if not candidates:
        return None
    fitting = [candidate for candidate in candidates if not _misses(candidate, constraints)]
    if fitting:
        best = min(fitting, key=preference)
        return _choice(best, constraints, _say_fit(best, len(fitting), len(candidates)))
    closest = min(candidates, key=lambda candidate: (_distance(_misses(candidate, constraints)), preference(candidate)))
    return _choice(closest, constraints, _say_misses(closest, _misses(closest, constraints)))


def preference(candidate: Candidate) -> tuple[float, float, int]:
    """Sorts the better first: by accuracy, then latency, then bytes."""
    return -candidate.accuracy, inf if candidate.latency_ms is None else candidate.latency_ms, candidate.bytes


def mark_front(candidates: Iterable[Candidate]) -> list[Candidate]:
    """All of them, best first, with `pareto` set on those that no other beats in accuracy and latency together.

    Of files that are equal in both, all or none are on the front. What was not timed is never on it.
    """
    marked, fastest, latest = [], inf, None
    for candidate in sorted(candidates, key=preference):
        # whatever came before is at least as accurate
        here = candidate.accuracy, candidate.latency_ms
        on_front = candidate.latency_ms is not None and (candidate.latency_ms < fastest or here == latest)
        if on_front:
            assert candidate.latency_ms is not None
            fastest, latest = candidate.latency_ms, here
        marked.append(candidate.model_copy(update={"pareto": on_front}))
    return marked


def _misses(candidate: Candidate, constraints: Constraints) -> tuple[Miss, ...]:
    misses = []
    if (slowest := constraints.max_latency_ms) is not None:
        got = candidate.latency_ms
        if got is None or got > slowest:
            by = None if got is None else got - slowest
            misses.append(Miss(constraint="max_latency_ms", wanted=slowest, got=got, by=by))
    if (largest := constraints.max_bytes) is not None and candidate.bytes > largest:
        over = candidate.bytes - largest
        misses.append(Miss(constraint="max_bytes", wanted=largest, got=candidate.bytes, by=over))
    if (least := constraints.min_accuracy) is not None and candidate.accuracy < least:
        short = least - candidate.accuracy
        misses.append(Miss(constraint="min_accuracy", wanted=least, got=candidate.accuracy, by=short))
    return tuple(misses)


def _distance(misses: Sequence[Miss]) -> float:
    return sum(inf if miss.by is None else miss.by / miss.wanted for miss in misses)


def _choice(candidate: Candidate, constraints: Constraints, summary: str) -> Choice:
    misses = _misses(candidate, constraints)
    return Choice(
        met=not misses,
        student=candidate.student,
        file=candidate.file,
        accuracy=candidate.accuracy,
        latency_ms=candidate.latency_ms,
        bytes=candidate.bytes,
        misses=misses,
        constraints=constraints,
        summary=summary,
    )


def _say_fit(candidate: Candidate, fitting: int, count: int) -> str:
    latency = "" if candidate.latency_ms is None else f"{_number(candidate.latency_ms)} ms for one image, "
    which = "the only one" if fitting == 1 else f"the most accurate of {fitting}"
    return (
        f"{candidate.file} is chosen: accuracy {100 * candidate.accuracy:.1f} %, {latency}{candidate.bytes:,} bytes. "
        f"It is {which} to fit among {count} {'file' if count == 1 else 'files'}."
    )


def _say_misses(candidate: Candidate, misses: Sequence[Miss]) -> str:
    said = "; ".join(_say(miss) for miss in misses)
    return f"No file fits all constraints; {candidate.file} comes closest: {said}."


def _say(miss: Miss) -> str:
    if miss.got is None or miss.by is None:
        return "how long it takes could not be measured"
    beyond = f"{_number(100 * miss.by / miss.wanted)} %"
    match miss.constraint:
        case "max_latency_ms":
            got, by, wanted = map(_number, (miss.got, miss.by, miss.wanted))
            return f"one image takes {got} ms, {by} ms ({beyond}) more than {wanted} ms"
        case "max_bytes":
            return f"it has {miss.got:,.0f} bytes, {miss.by:,.0f} ({beyond}) more than {miss.wanted:,.0f}"
        case "min_accuracy":
            points = f"{_number(100 * miss.by)} points"
            return f"its accuracy is {100 * miss.got:.1f} %, {points} less than {_number(100 * miss.wanted)} %"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
