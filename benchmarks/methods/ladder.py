"""Every method on real photographs.

    python -m benchmarks.methods.ladder --data FOLDER --weights FOLDER [--core] [--jobs 2]

Methods × data sets × labels per class × seeds with equal image steps; what of train is not labelled is unlabelled. The
core ladder comes first, seed by seed, so that a part of it is a fair table already.
"""

import argparse
import functools
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import RESULTS
from benchmarks.common import setting
from benchmarks.common.cells import Cell, Line, find, read, run_cells
from benchmarks.common.data import Subset
from benchmarks.common.setting import DATA_SETS, SEEDS, Setting
from benchmarks.common.table import (
    NOTHING,
    Seeds,
    by_seed,
    differences,
    gap_closed,
    markdown,
    mean_seconds,
    over_sets,
    paired,
    spread,
)
from benchmarks.methods.plot import Panel, draw

CORE = ("scratch", "kd", "reprogrammed-kd", "tdmr")
CORE_LABELS = 20
METHODS = ("scratch", "probe", "kd", "fitnet", "rkd", "dkd", "dist", "simkd", "reprogrammed-kd", "tdmr")
"""Not `finetune`: it needs a student with pretrained weights of its own (`--methods finetune --student …`)."""
LABELS = (CORE_LABELS, 5, None)
COMPARED = ("scratch", "kd", "reprogrammed-kd")
"""The methods to which the others' paired differences are given."""
HEADER = ("data", "method", "student", *(f"− {method}" for method in COMPARED), "gap closed", "teacher", "s", "seeds")


def main() -> int:
    arguments = _options()
    cells = list({cell.label: cell for cell in plan(arguments)}.values())
    failures = []
    if not arguments.table:
        run = functools.partial(setting.run_on_photographs, arguments)
        failures = run_cells(cells, arguments.results, run, arguments.jobs)
    recorded = read(arguments.results)
    lines = [line for cell in cells if (line := find(cell, recorded)) is not None]
    labels = list(dict.fromkeys(line["labels_per_class"] for line in lines))
    for number in labels:
        print(f"\n{number} labels per class\n\n{table(_with(lines, labels_per_class=number))}")
    if arguments.plot and lines:
        draw([panels(_with(lines, labels_per_class=number)) for number in labels], arguments.plot)
    print("".join(f"\nfailed: {failure}" for failure in failures))
    return 1 if failures else 0


def plan(arguments: argparse.Namespace) -> Iterator[Cell]:
    """All cells in the order in which they are run; those of the core may come again."""
    chosen = setting.chosen(arguments)
    yield from _grid(arguments, chosen, [m for m in arguments.methods if m in CORE], [CORE_LABELS])
    if not arguments.core:
        yield from _grid(arguments, chosen, arguments.methods, arguments.labels)


def table(lines: Sequence[Line]) -> str:
    """One number of labels: each data set, then their mean.

    Student: mean (least – most) over the seeds. Differences: mean (each seed's). Teacher: the probe for its own row and
    for `kd` and its kin, the reprogrammed teacher for those that reprogram. Gap closed: (student − scratch) / (probe −
    scratch); in the mean's row of the means.
    """
    data_sets, methods = _order(lines, "data", DATA_SETS), _order(lines, "method", METHODS)
    student = {(d, m): by_seed(_with(lines, data=d, method=m)) for d in data_sets for m in methods}
    teacher = {(d, m): by_seed(map(_taught, _with(lines, data=d, method=m)), "taught") for d, m in student}
    probe = {d: by_seed(_with(lines, data=d), "probe_accuracy") for d in data_sets}
    rows = []
    for data in (*data_sets, *([None] if len(data_sets) > 1 else [])):
        for method in methods:
            found = _with(lines, data=data, method=method) if data else _with(lines, method=method)
            if data is None:
                figures = {m: over_sets([student[d, m] for d in data_sets]) for m in methods}
                taught, ceiling = over_sets([teacher[d, method] for d in data_sets]), over_sets(list(probe.values()))
            else:
                figures = {m: student[data, m] for m in methods}
                taught, ceiling = teacher[data, method], probe[data]
            if found:
                name = data or f"mean of {len(data_sets)}"
                rows.append(_row(name, method, figures, taught, ceiling, found))
    return markdown(HEADER, rows)


def panels(lines: Sequence[Line]) -> list[Panel]:
    """One number of labels as dots."""
    methods = [m for m in _order(lines, "method", METHODS) if m != "probe"]
    drawn = []
    for data in _order(lines, "data", DATA_SETS):
        probe = by_seed(_with(lines, data=data), "probe_accuracy")
        title = f"{data}, {lines[0]['labels_per_class']} labels per class"
        by_method = {m: by_seed(_with(lines, data=data, method=m)) for m in methods}
        drawn.append(Panel(title, by_method, statistics.mean(probe.values()) if probe else None))
    return drawn


def _row(
    data: str, method: str, student: dict[str, Seeds], teacher: Seeds, probe: Seeds, lines: Sequence[Line]
) -> list[str]:
    ours = student[method]
    closed = gap_closed(ours, student.get("scratch", {}), probe)
    return [
        data,
        f"`{method}`",
        spread(ours),
        *(differences(paired(ours, student.get(m, {}))) if m != method else NOTHING for m in COMPARED),
        NOTHING if closed is None or method == "scratch" else f"{closed:.2f}",
        spread(teacher),
        mean_seconds(lines),
        str(len(ours) or len(teacher)),
    ]


def _grid(
    arguments: argparse.Namespace, chosen: Setting, methods: Sequence[str], labels: Sequence[int | None]
) -> Iterator[Cell]:
    for seed in arguments.seeds:
        for number in labels:
            for data in arguments.sets:
                subset = Subset(setting.archive(arguments, data), number, seed)
                yield from (setting.photographs(subset, chosen.spec(m, seed), m) for m in methods)


def _with(lines: Sequence[Line], **facts: object) -> list[Line]:
    return [line for line in lines if all(line[name] == value for name, value in facts.items())]


def _order(lines: Sequence[Line], name: str, known: Sequence[str]) -> list[str]:
    """The values that occur, the known ones first and in their order."""
    found = dict.fromkeys(line[name] for line in lines)
    return [value for value in (*known, *sorted(found.keys() - set(known))) if value in found]


def _taught(line: Line) -> Line:
    """With what the student learned from."""
    taught = line["teacher_accuracy"] if line["teacher_accuracy"] is not None else line["probe_accuracy"]
    return line | {"taught": taught}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    setting.add_options(parser, RESULTS / "ladder.jsonl")
    parser.add_argument("--core", action="store_true", help=f"only {', '.join(CORE)} at {CORE_LABELS} labels")
    parser.add_argument("--sets", nargs="+", default=DATA_SETS, help="names of the zip files")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--labels", nargs="+", type=setting.labels, default=LABELS, help="per class; or all")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    setting.in_parallel(parser)
    parser.add_argument("--plot", type=Path, help="write the figure to this SVG, as docs/ladder.svg")
    return setting.parsed(parser)


if __name__ == "__main__":
    sys.exit(main())
