"""What the teacher costs: `python -m benchmarks.methods.cost --data FOLDER --weights FOLDER`.

Time: the same students trained alone and distilled, for the same image steps, on a data set whose images are all
labelled, so that both see the same images in the same batches. The runs of one repeat take turns, each alone on the
machine, and only their ratios count; like is compared with like: a cold cache with a cold one (nothing is decoded yet),
a warm one with a warm one. Memory: the same job over N and over 4 N unlabelled images.

A cell is one repeat with all its runs, or one job of the memory test.
"""

import argparse
import functools
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import RESULTS
from benchmarks.common import setting
from benchmarks.common.cells import Cell, Line, run_and_show
from benchmarks.common.data import Subset
from benchmarks.common.table import NOTHING, markdown
from benchmarks.common.training import Machine, Outcome, machine_name, run_training

TIME, MEMORY = "time", "memory"
MEMORY_LABELS = 10
MEMORY_STEPS = 50
"""Optimiser steps of a job of the memory test: memory does not grow with them."""


class Job(NamedTuple):
    """One run of a repeat."""

    name: str
    method: str
    students: tuple[int, ...]
    """Which of the two."""
    cache: str
    """Runs that name the same one share it, in this order; it is empty at first."""


JOBS = (
    Job("alone, cold", "scratch", (0,), "alone"),
    Job("tdmr, cold", "tdmr", (0,), "tdmr"),
    Job("alone, warm", "scratch", (0,), "alone"),
    Job("tdmr, warm", "tdmr", (0,), "tdmr"),
    Job("second alone, warm", "scratch", (1,), "alone"),
    Job("second tdmr, warm", "tdmr", (1,), "tdmr"),
    Job("both in one tdmr job, cold", "tdmr", (0, 1), "both"),
)
RATIOS = (
    ("tdmr, warm", ("alone, warm",)),
    ("tdmr, cold", ("alone, cold",)),
    ("second tdmr, warm", ("second alone, warm",)),
    ("both in one tdmr job, cold", ("alone, cold", "second alone, warm")),
)
"""What is divided by the sum of what."""
PARTS = ("decode", "teacher", "reprogram", "distill", "evaluate", "export")
"""Of a run's seconds; the rest is the start of Python and what lies between."""
STAGES = ("prepare", "reprogram", "distill", "evaluate", "export")


def main() -> int:
    arguments = _options()
    return run_and_show(arguments, list(plan(arguments)), functools.partial(run, arguments), tables)


def tables(lines: list[Line]) -> str:
    times, memory = ([line for line in lines if line["measure"] == measure] for measure in (TIME, MEMORY))
    return "\n".join(f"\n{text}" for text in (ratios(times), split(times), memory_table(memory)))


def plan(arguments: argparse.Namespace) -> Iterator[Cell]:
    chosen, archive = setting.chosen(arguments), setting.archive(arguments, arguments.set)
    for images in (arguments.images, 4 * arguments.images):
        subset = Subset(archive, MEMORY_LABELS, 0, unlabelled=images)
        brief = replace(chosen, image_steps=MEMORY_STEPS * chosen.batch_size)
        facts = {**subset.facts, "measure": MEMORY}
        yield Cell(facts, brief.spec("tdmr", 0), f"memory, {images} unlabelled images", subset)
    subset = Subset(archive, None, 0)
    for repeat in range(arguments.repeats):
        facts = {
            **subset.facts,
            "measure": TIME,
            "repeat": repeat,
            "second_student": arguments.second_student,
            "threads": arguments.threads,
        }
        yield Cell(facts, chosen.spec("tdmr", 0), f"time, repeat {repeat}", subset)


def run(arguments: argparse.Namespace, cell: Cell, stop: threading.Event) -> Line:
    """All runs of a cell, each with its seconds and its memory."""
    data = cell.context.folder(arguments.cache / "data")
    students = (arguments.student, arguments.second_student)
    timed = tuple(job for job in JOBS if job.name in arguments.runs)
    jobs = timed if cell.facts["measure"] == TIME else (Job("tdmr, cold", "tdmr", (0,), "tdmr"),)
    runs = []
    with tempfile.TemporaryDirectory() as caches:
        for job in jobs:
            where = Machine(Path(caches, job.cache), arguments.weights, arguments.threads)
            named = [students[place] for place in job.students]
            chosen = {"student": named[0]} if len(named) == 1 else {"student": None, "students": named}
            teacher = None if job.method == "scratch" else cell.spec["teacher"]
            spec = cell.spec | {"method": job.method, "teacher": teacher} | chosen
            runs.append({"run": job.name, **_measured(run_training(spec, data, where, stop))})
    return {
        **cell.facts,
        "method": "tdmr",
        "student": arguments.student,
        "pretrained": False,
        "teacher": cell.spec["teacher"],
        "image_steps": cell.spec["distill"]["image_steps"],
        "seconds": sum(one["seconds"] for one in runs),
        "runs": runs,
        "threads": arguments.threads,
        "machine": machine_name(),
        "spec": cell.spec,
    }


def ratios(lines: Sequence[Line]) -> str:
    """Of whole processes: median of the repeats' ratios (each). CPU time is what other work on the machine adds little
    to."""
    rows = []
    for name, baseline in RATIOS:
        figures = [_ratios(lines, name, baseline, measure) for measure in ("seconds", "cpu_seconds")]
        rows.append([name, " + ".join(baseline), *figures])
    return markdown(("run", "divided by", "ratio of seconds", "of CPU seconds"), rows)


def _ratios(lines: Sequence[Line], name: str, baseline: Sequence[str], measure: str) -> str:
    of_each = []
    for line in lines:
        found = {one["run"]: one[measure] for one in line["runs"] if one.get(measure)}
        if found.keys() >= {name, *baseline}:
            of_each.append(found[name] / sum(found[other] for other in baseline))
    each = ", ".join(f"{ratio:.2f}" for ratio in of_each)
    return f"{statistics.median(of_each):.2f} ({each})" if each else NOTHING


def split(lines: Sequence[Line]) -> str:
    """Median seconds of each run and its parts."""
    rows = []
    for job in JOBS:
        runs = [one for line in lines for one in line["runs"] if one["run"] == job.name]
        if runs:
            parts = [[one["stage_seconds"].get(part) for one in runs] for part in PARTS]
            rows.append([job.name, _median([one["seconds"] for one in runs]), *map(_median, parts)])
    return markdown(("run", "seconds", *PARTS), rows)


def memory_table(lines: Sequence[Line]) -> str:
    """Peaks in MiB: of anonymous memory by stage and in all, which a machine must have; resident, mapped files too."""
    rows = []
    for line in lines:
        (only,) = line["runs"]
        stages = [only["anonymous_mib"].get(stage) for stage in STAGES]
        peaks = [only["peak_anonymous_mib"], only["peak_rss_mib"]]
        rows.append([str(line["unlabelled_limit"]), *(_median([figure]) for figure in (*stages, *peaks))])
    return markdown(("unlabelled images", *STAGES, "anonymous, MiB", "resident, MiB"), rows)


def _measured(outcome: Outcome) -> dict[str, Any]:
    stages: dict[str, float] = {}
    for manifest in outcome.manifests.values():
        stages |= manifest["seconds"]
    return {
        "seconds": round(outcome.seconds, 2),
        "cpu_seconds": outcome.cpu_seconds,
        "stage_seconds": {stage: round(seconds, 2) for stage, seconds in stages.items()},
        "peak_rss_mib": outcome.peak_rss_mib,
        "peak_anonymous_mib": outcome.peak_anonymous_mib,
        "anonymous_mib": outcome.anonymous_mib,
    }


def _median(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.median(known):.1f}" if known else NOTHING


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    setting.add_options(parser, RESULTS / "cost.jsonl")
    parser.add_argument("--set", default="clothing", help="name of the zip file (%(default)s)")
    parser.add_argument("--second-student", default="mobilenetv3_small_075", help="(%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="of all timed runs (%(default)s)")
    names = [job.name for job in JOBS]
    parser.add_argument("--runs", nargs="+", choices=names, default=names, metavar="RUN", help="of a repeat, by name")
    parser.add_argument("--images", type=int, default=700, help="N of the memory test, unlabelled (%(default)s)")
    return setting.parsed(parser)


if __name__ == "__main__":
    sys.exit(main())
