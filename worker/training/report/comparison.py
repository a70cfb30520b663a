"""All exported files of a job side by side, and the one that its constraints ask for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from app.domain.files import replaced_atomically
from app.domain.intervals import wilson
from app.domain.manifest import Measurement
from app.domain.model_selection import Candidate, Choice, Comparison, choose, mark_front
from app.domain.spec import TrainingSpec
from worker.training.export.latency import cpu_name
from worker.training.run import Run

COMPARISON_NAME, PLOT_NAME = "comparison.json", "pareto.svg"

_BATCH = 1
"""Images a call by which files are compared and chosen."""


class Contender(NamedTuple):
    """One student with its files."""

    folder: str
    """Below the job's; empty where the student is the only one."""
    name: str
    """As the spec calls it."""
    evaluation: Mapping[str, Any]
    measured: Mapping[str, Measurement]
    """By file name."""
    accuracies: Mapping[str, float]
    """Top-1 of files whose arithmetic is coarser than the student's, by file name; the others have the student's."""
    facts: Mapping[str, Any]
    """The manifest's `student`."""


def candidates(contenders: Iterable[Contender]) -> list[Candidate]:
    """Every file of every student, the best first."""
    return mark_front(
        _candidate(contender, name, measurement)
        for contender in contenders
        for name, measurement in contender.measured.items()
    )


def choose_for(spec: TrainingSpec, contenders: Sequence[Contender]) -> Choice | None:
    """None where the spec has no constraints, or there is no file."""
    return None if spec.constraints is None else choose(candidates(contenders), spec.constraints)


def tell_choice(run: Run, choice: Choice | None) -> None:
    """As an event."""
    if choice is not None:
        run.reporter.event("choice", choice.summary, warning=not choice.met)


def write_comparison(run: Run, contenders: Sequence[Contender]) -> list[str]:
    """Write comparison.json and pareto.svg above the students' folders. Returns the names of what was written."""
    evaluation = contenders[0].evaluation
    threads = {each.threads for one in contenders for file in one.measured.values() for each in file.latencies}
    comparison = Comparison(
        latency=f"Median of the timed calls with one image on the worker's CPU ({cpu_name()}), "
        f"{' or '.join(map(str, sorted(threads)))} thread{'' if threads == {1} else 's'}."
        if threads
        else "Not measured.",
        accuracy=f"Top-1 on {evaluation['images']:,} {evaluation['split']} images.",
        files=tuple(candidates(contenders)),
        choice=choose_for(run.spec, contenders),
    )
    with replaced_atomically(run.out_dir / COMPARISON_NAME) as temporary:
        temporary.write_text(comparison.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if not any(file.latency_ms for file in comparison.files):
        return [COMPARISON_NAME]
    from worker.training.report.pareto import draw_pareto  # noqa: PLC0415  matplotlib: most jobs draw no such plot

    with replaced_atomically(run.out_dir / PLOT_NAME) as temporary:
        draw_pareto(comparison, temporary)
    return [COMPARISON_NAME, PLOT_NAME]


def _candidate(contender: Contender, name: str, measurement: Measurement) -> Candidate:
    evaluation = contender.evaluation
    accuracy = contender.accuracies.get(name, evaluation["student"]["top1"])
    images = evaluation["images"]
    one = [each for each in measurement.latencies if each.device == "cpu" and each.batch == _BATCH]
    return Candidate(
        student=contender.name,
        file=f"{contender.folder}/{name}" if contender.folder else name,
        accuracy=accuracy,
        accuracy_interval=wilson(round(accuracy * images), images),
        latency_ms=one[0].p50_ms if one else None,
        latency_p95_ms=one[0].p95_ms if one else None,
        bytes=measurement.bytes,
        parameters=contender.facts["parameters"],
        multiply_adds=contender.facts["multiply_adds"],
    )
