"""A student that starts from its own pretrained weights, beside what its owner could do without a teacher.

    python -m benchmarks.methods.pretrained --data FOLDER --weights FOLDER [--seeds 0 1 2] [--methods …]

The rows in their order: a linear classifier on the frozen student (`linear`, at the student's image size and, `linear
224`, at the size it was pretrained at), its fine-tuning, FixMatch, and the methods with a teacher. Cheap rows come
first for all seeds, the others seed by seed, so that a part of it is a fair table already. The same images, splits and
image steps for all.
"""

import argparse
import functools
import sys
from collections.abc import Iterator, Sequence

from benchmarks import RESULTS
from benchmarks.common import setting
from benchmarks.common.cells import Cell, Line, run_and_show
from benchmarks.common.data import Subset
from benchmarks.common.table import (
    NOTHING,
    Seeds,
    by_seed,
    differences,
    markdown,
    mean_seconds,
    over_sets,
    paired,
    spread,
)

DATA_SETS = ("clothing", "trashnet", "sign-digits", "grocery")
LABELS, SEEDS = 20, (0, 1, 2, 3, 4)
LINEAR = {"linear": 128, "linear 224": 224}
METHODS = ("finetune", "fixmatch", "tdmr", "kd", "reprogrammed-kd")
OWN = {"fixmatch": {"distill.label_share": 0.125}}
"""What a method's authors publish and the default is not: seven unlabelled images to one that is labelled."""
ROWS = (*LINEAR, *METHODS)
HEADER = ("data", "row", "student", "tdmr − it", "probe of the teacher", "reprogrammed teacher", "s", "seeds")


def main() -> int:
    arguments = _options()
    return run_and_show(arguments, list(plan(arguments)), functools.partial(_run, arguments), table, arguments.jobs)


def plan(arguments: argparse.Namespace) -> Iterator[Cell]:
    """All cells in the order in which they are run."""
    chosen = setting.chosen(arguments)
    rows = [row for row in ROWS if row in arguments.methods]
    for cheap in (True, False):
        for seed in arguments.seeds:
            for data in arguments.sets:
                subset = Subset(setting.archive(arguments, data), LABELS, seed)
                for row in (row for row in rows if (row in LINEAR) == cheap):
                    changes = (
                        {"teacher": chosen.student, "reprogram.image_size": LINEAR[row], "reprogram.taps": "last"}
                        if cheap
                        else {"pretrained": True, **OWN.get(row, {})}
                    )
                    spec = chosen.spec("probe" if cheap else row, seed, changes)
                    yield setting.photographs(subset, spec, row)


def table(lines: Sequence[Line]) -> str:
    """Student: mean (min – max) over the seeds; difference: mean (each seed's)."""
    found: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        found.setdefault((line["data"], line["row"]), []).append(line)
    sets = [data for data in DATA_SETS if any(key[0] == data for key in found)]
    rows = [
        [data, *_row(row, found[data, row], by_seed(found.get((data, "tdmr"), ())))]
        for data in sets
        for row in ROWS
        if (data, row) in found
    ]
    for row in ROWS:  # of the sets that have this row and ours
        whole = [data for data in sets if (data, row) in found and (data, "tdmr") in found]
        if len(whole) > 1:
            ours, its = (over_sets([by_seed(found[data, name]) for data in whole]) for name in ("tdmr", row))
            difference = NOTHING if row == "tdmr" else differences(paired(ours, its))
            rows.append([f"mean of {len(whole)}", f"`{row}`", spread(its), difference, *[NOTHING] * 3, str(len(its))])
    return markdown(HEADER, rows)


def _row(row: str, lines: Sequence[Line], ours: Seeds) -> list[str]:
    its = by_seed(lines)
    return [
        f"`{row}`",
        spread(its),
        NOTHING if row == "tdmr" else differences(paired(ours, its)),
        NOTHING if row in LINEAR else spread(by_seed(lines, "probe_accuracy")),
        spread(by_seed(lines, "teacher_accuracy")),
        mean_seconds(lines),
        str(len(its)),
    ]


def _run(arguments: argparse.Namespace, cell: Cell, stop: object) -> Line:
    line = setting.run_on_photographs(arguments, cell, stop)  # type: ignore[arg-type]
    if cell.context[1] in LINEAR:  # the student is the one whose probe it is
        line |= {"student": line["teacher"], "student_accuracy": line["probe_accuracy"]}
    return line


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    setting.add_options(parser, RESULTS / "pretrained.jsonl")
    parser.set_defaults(**setting.PRETRAINED)
    parser.add_argument("--sets", nargs="+", default=DATA_SETS, help="names of the zip files")
    parser.add_argument("--methods", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    setting.in_parallel(parser)
    return setting.parsed(parser)


if __name__ == "__main__":
    sys.exit(main())
