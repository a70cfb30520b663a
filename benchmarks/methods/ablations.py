"""What each part of the method is worth.

    python -m benchmarks.methods.ablations --data FOLDER --weights FOLDER [--jobs 2]

The default `tdmr` with one thing changed, on one data set, several seeds. Two controls must lose the gain: a teacher
with random weights, and training labels exchanged at random.
"""

import argparse
import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import RESULTS
from benchmarks.common import setting
from benchmarks.common.cells import Cell, Line, find, read, run_cells
from benchmarks.common.data import Subset
from benchmarks.common.setting import SEEDS
from benchmarks.common.table import by_seed, differences, markdown, mean_seconds, paired, spread

TDMR, SCRATCH, SHUFFLED = "tdmr", "scratch", "scratch, shuffled labels"
NO_UNLABELLED = "no unlabelled images"
RANDOM_TAG = "random"


@dataclass(frozen=True)
class Row:
    """One change. The student's difference is given to the row `against`, paired by seed."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    """Of the spec, by dotted names."""
    method: str = "tdmr"
    against: str = TDMR
    shuffled: bool = False
    """The labelled training images exchange their labels."""
    random_teacher: bool = False
    """The teacher's architecture with untrained weights."""


_NO_DOMAIN_TERM = {"reprogram.view_weight": 0, "reprogram.moment_weight": 0}
_NO_UNLABELLED = {"distill.use_unlabelled": False}
_ALIGNED = {"distill.align_weight": 1, "distill.relation_weight": 1}
_NO_HANDOVER = {"distill.handover": False}
"""For the controls too: they ask what such a teacher gives, and not whether the labels make up for it."""

ROWS: dict[str, Row] = {
    TDMR: Row(against=SCRATCH),
    SCRATCH: Row(method="scratch"),
    "kd": Row(method="kd"),
    "reprogrammed-kd": Row(method="reprogrammed-kd"),
    "taps: only the last": Row({"reprogram.taps": "last"}),
    "no view agreement": Row({"reprogram.view_weight": 0}),
    "no moments": Row({"reprogram.moment_weight": 0}),
    "no domain term": Row(_NO_DOMAIN_TERM),
    "no self-training": Row({"reprogram.self_training": 0}),
    "no proxy KL": Row({"distill.proxy_weight": 0}),
    "proxy KL": Row({"distill.proxy_weight": 0.5}),
    "alignment": Row({"distill.align_weight": 1}),
    "relation": Row({"distill.relation_weight": 1}),
    "alignment and relation, static": Row(_ALIGNED),
    "alignment and relation, fading": Row(_ALIGNED | {"distill.schedule": "fading"}),
    "alignment and relation, progressive": Row(_ALIGNED | {"distill.schedule": "progressive"}),
    "alignment and relation, reversed": Row(_ALIGNED | {"distill.schedule": "reversed"}),
    "no handover": Row(_NO_HANDOVER),
    "a quarter labelled": Row({"distill.label_share": 0.25, "distill.ce_weight": 1}),
    "batches of 64": Row({"distill.batch_size": 64}),
    "optimiser: adamw": Row({"distill.optimiser": "adamw"}),
    "temperature 1": Row({"distill.temperature": 1}),
    "temperature 4": Row({"distill.temperature": 4}),
    "4 views": Row({"views.count": 4}),
    "8 views": Row({"views.count": 8}),
    "16 views": Row({"views.count": 16}),
    "32 views": Row({"views.count": 32}),
    NO_UNLABELLED: Row(_NO_UNLABELLED),
    "no unlabelled images, 8 views": Row(_NO_UNLABELLED | {"views.count": 8}, against=NO_UNLABELLED),
    "no unlabelled images, 64 views": Row(_NO_UNLABELLED | {"views.count": 64}, against=NO_UNLABELLED),
    "control: random teacher": Row(_NO_HANDOVER, against=SCRATCH, random_teacher=True),
    "control: shuffled labels": Row(_NO_HANDOVER, against=SHUFFLED, shuffled=True),
    SHUFFLED: Row(method="scratch", shuffled=True),
}
"""A row that says what the default is anyway shares its cells with the default."""
HEADER = ("row", "student", "against", "difference", "reprogrammed teacher", "s", "seeds")


def main() -> int:
    arguments = _options()
    planned = list(plan(arguments))
    failures, ladder = [], read(arguments.ladder)
    if not arguments.table:
        run = functools.partial(setting.run_on_photographs, arguments)
        cells = [cell for _, cell in planned if find(cell, ladder) is None]
        failures = run_cells(cells, arguments.results, run, arguments.jobs)
    recorded = ladder + read(arguments.results)
    found: dict[str, list[Line]] = {}
    for name, cell in planned:
        if (line := find(cell, recorded)) is not None:
            found.setdefault(name, []).append(line)
    print(f"\n{arguments.set}, {arguments.labels or 'all'} labels per class\n\n{table(found)}")
    print("".join(f"\nfailed: {failure}" for failure in failures))
    return 1 if failures else 0


def plan(arguments: argparse.Namespace) -> Iterator[tuple[str, Cell]]:
    """Rows and their cells, seed by seed."""
    chosen = setting.chosen(arguments)
    for seed in arguments.seeds:
        for name in arguments.rows:
            row = ROWS[name]
            subset = Subset(setting.archive(arguments, arguments.set), arguments.labels, seed, row.shuffled)
            spec = chosen.spec(row.method, seed, row.changes)
            if row.random_teacher:
                spec["teacher"] = f"{chosen.teacher.partition('.')[0]}.{RANDOM_TAG}"
            yield name, setting.photographs(subset, spec, name)


def table(found: Mapping[str, Sequence[Line]]) -> str:
    """Student and reprogrammed teacher: mean (least – most). Difference: mean (each seed's)."""
    student = {name: by_seed(lines) for name, lines in found.items()}
    return markdown(
        HEADER,
        (
            [
                name,
                spread(student[name]),
                ROWS[name].against,
                differences(paired(student[name], student.get(ROWS[name].against, {}))),
                spread(by_seed(lines, "teacher_accuracy")),
                mean_seconds(lines),
                str(len(student[name])),
            ]
            for name, lines in found.items()
        ),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    setting.add_options(parser, RESULTS / "ablations.jsonl")
    parser.add_argument(
        "--ladder",
        type=Path,
        default=RESULTS / "ladder.jsonl",
        help="runs that need no repeating (%(default)s)",
    )
    parser.add_argument("--set", default="clothing", help="name of the zip file (%(default)s)")
    parser.add_argument("--labels", type=setting.labels, default=20, help="per class; or all (%(default)s)")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help="names of rows")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    setting.in_parallel(parser)
    return setting.parsed(parser)


if __name__ == "__main__":
    sys.exit(main())
