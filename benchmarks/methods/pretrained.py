"""A student that starts from its own pretrained weights, beside what its owner could do without a teacher.

    python -m benchmarks.methods.pretrained --data FOLDER --weights FOLDER [--seeds 0 1 2] [--methods …]

The rows in their order: a linear classifier on the frozen student (`linear`, at the student's image size and, `linear
224`, at the size it was pretrained at), its fine-tuning, FixMatch, and the methods with a teacher; `two teachers` is
`tdmr` with a MobileNetV2 beside the teacher, each at the image size that it was pretrained at, and `tdmr 224` that with
a student at 224 px. Cheap rows come first for all seeds, the others seed by seed, so that a part of it is a fair table
already. The same images, splits and image steps for all.
"""

import argparse
import functools
import sys
from collections.abc import Iterator, Mapping, Sequence

from benchmarks import RESULTS
from benchmarks.common import setting
from benchmarks.common.cells import Cell, Line, run_and_show
from benchmarks.common.data import Subset
from benchmarks.common.intervals import difference
from benchmarks.common.table import NOTHING, by_seed, gap_closed, markdown, over_sets, seconds, spread

DATA_SETS = ("clothing", "trashnet", "sign-digits", "grocery")
LABELS, SEEDS = 20, (0, 1, 2, 3, 4)
LINEAR = {"linear": 128, "linear 224": 224}
TWO, LARGER = "two teachers", "tdmr 224"
METHODS = ("finetune", "fixmatch", "tdmr", LARGER, TWO, "kd", "reprogrammed-kd")
OWN = {
    "fixmatch": {"distill.label_share": 0.125},  # as its authors have it: seven unlabelled images to a labelled one
    TWO: {
        "teacher": None,
        "teachers": [setting.PRETRAINED["teacher"], "mobilenetv2_100.in1k"],
        "reprogram.image_size": None,
    },
    LARGER: {"image_size": 224},
}
"""What of a row's spec is not the default."""
ROWS = (*LINEAR, *METHODS)
OURS, LABELS_ALONE = "tdmr", "finetune"
LEAD = 0.05
"""By which a teacher's probe must be ahead of fine-tuning for there to be a gap that could be closed."""
HEADER = (
    *("data", "row", "student", f"{OURS} − it", "gap closed", "probe of the teacher", "reprogrammed teacher"),
    *("it − probe", "CPU s", "seeds"),
)


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
                    method = "probe" if cheap else OURS if row in (TWO, LARGER) else row
                    spec = chosen.spec(method, seed, changes)
                    yield setting.photographs(subset, spec, row)


def table(lines: Sequence[Line]) -> str:
    """Each data set, then their mean over those that have the row.

    Student, teachers: mean (min – max) over the seeds. Differences: mean [95 % interval]. Gap closed: (student −
    fine-tuned) / (probe − fine-tuned) where the teacher's probe is better by 5 points or more. CPU seconds: mean (min –
    max); the most is that of a first job, for which the teacher has not yet seen the images.
    """
    found: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        found.setdefault((line["data"], line["row"]), []).append(line)
    sets = [data for data in DATA_SETS if any(key[0] == data for key in found)]
    rows = [_row(data, row, found, [data]) for data in sets for row in ROWS if (data, row) in found]
    for row in ROWS:  # of the sets that have this row and ours
        whole = [data for data in sets if (data, row) in found and (data, OURS) in found]
        if len(whole) > 1:
            rows.append(_row(f"mean of {len(whole)}", row, found, whole))
    return markdown(HEADER, rows)


def _row(name: str, row: str, found: Mapping[tuple[str, str], Sequence[Line]], sets: Sequence[str]) -> list[str]:
    its, ours, alone = ([found.get((data, one), []) for data in sets] for one in (row, OURS, LABELS_ALONE))
    figures = {
        who: over_sets([by_seed(lines, f"{who}_accuracy") for lines in its]) for who in ("student", "probe", "teacher")
    }
    labels_alone = over_sets([by_seed(lines) for lines in alone])
    own = row in LINEAR  # its probe is the student itself
    closed = None if own else gap_closed(figures["student"], labels_alone, figures["probe"], LEAD)
    return [
        name,
        f"`{row}`",
        spread(figures["student"]),
        NOTHING if row == OURS else difference(list(zip(ours, its, strict=True))),
        NOTHING if closed is None else f"{closed:.2f}",
        NOTHING if own else spread(figures["probe"]),
        spread(figures["teacher"]),
        NOTHING if own else difference([(lines, lines) for lines in its], ("teacher", "probe")),
        seconds([line for lines in its for line in lines], "cpu_seconds") if len(sets) == 1 else NOTHING,
        str(len(figures["student"])),
    ]


def _run(arguments: argparse.Namespace, cell: Cell, stop: object) -> Line:
    line = setting.run_on_photographs(arguments, cell, stop)  # type: ignore[arg-type]
    if cell.context[1] in LINEAR:  # the student is the one whose probe it is
        right = {"student": line["right"]["probe"]}
        line |= {"student": line["teacher"], "student_accuracy": line["probe_accuracy"], "right": right}
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
