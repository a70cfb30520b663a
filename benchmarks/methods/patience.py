"""Would validation tell when to stop: `python -m benchmarks.methods.patience --data FOLDER --weights FOLDER`.

A whole job with the default budget of 150,000 image steps is judged on its validation images twenty times, as every job
is. The table asks of each rule "stop once the lowest cross-entropy is so many judgements old" when it would have
stopped, and what the student of that moment had right beside that of the end.
"""

import argparse
import functools
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import RESULTS
from benchmarks.common import setting
from benchmarks.common.cells import Cell, Line, run_and_show
from benchmarks.common.data import Subset
from benchmarks.common.table import markdown
from benchmarks.common.training import run_training
from worker.training.engine.curves import Curves

DATA_SETS = ("clothing", "sign-digits", "grocery", "trashnet")
LABELS = 20
PATIENCE = (1, 2, 3, 5)
"""Judgements, of twenty."""


def main() -> int:
    arguments = _options()
    return run_and_show(arguments, list(plan(arguments)), functools.partial(_run, arguments), table)


def plan(arguments: argparse.Namespace) -> Iterator[Cell]:
    chosen = setting.chosen(arguments)
    for seed in arguments.seeds:
        for data in arguments.sets:
            subset = Subset(setting.archive(arguments, data), LABELS, seed)
            spec = chosen.spec("tdmr", seed, {"export.formats": ["torchscript"], "export.measure": False})
            yield Cell(subset.facts, spec, f"{data}, seed {seed}", context=subset)


def _run(arguments: argparse.Namespace, cell: Cell, stop: threading.Event) -> Line:
    subset = cell.context
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        data = subset.folder(arguments.cache / "data")
        outcome = run_training(cell.spec, data, setting.machine(arguments), stop, out)
        points = Curves(out).points("")
    judged = [
        [line.step, line.values["val_ce"], line.values["val_accuracy"]]
        for line in points
        if line.stage == "distill" and "val_ce" in line.values
    ]
    return {
        "data": subset.archive.stem,
        "labels_per_class": LABELS,
        "seed": subset.seed,
        "judged": judged,
        "student_accuracy": outcome.manifest["metrics"]["student_accuracy"],
        "teacher_accuracy": outcome.manifest["metrics"]["teacher_accuracy"],
        "seconds": round(outcome.seconds, 1),
        **{key: value for key, value in cell.facts.items() if key not in ("data", "labels_per_class", "seed")},
        "spec": cell.spec,
    }


def stops_at(errors: Sequence[float], patience: int) -> int:
    """The judgement at which one with so much patience stops; the last one, if it never does."""
    best = 0
    for at, error in enumerate(errors):
        if error < errors[best]:
            best = at
        if at - best >= patience:
            return at
    return len(errors) - 1


def table(lines: Sequence[Line]) -> str:
    """By rule the share of the budget that was used, and points of validation accuracy beside the end's."""
    rows = []
    for line in lines:
        steps, errors, accuracy = zip(*line["judged"], strict=True)
        row = [line["data"], str(line["seed"]), f"{100 * line['student_accuracy']:.1f}", f"{100 * accuracy[-1]:.1f}"]
        for patience in PATIENCE:
            at = stops_at(errors, patience)
            row.append(f"{steps[at] / steps[-1]:.0%}: {100 * (accuracy[at] - accuracy[-1]):+.1f}")
        rows.append(row)
    rules = [f"patience {patience} of 20" for patience in PATIENCE]
    return markdown(("data", "seed", "test, %", "validation, %", *rules), rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    setting.add_options(parser, RESULTS / "patience.jsonl")
    parser.set_defaults(image_steps=150_000)
    parser.add_argument("--sets", nargs="+", default=DATA_SETS, help="names of the zip files")
    parser.add_argument("--seeds", nargs="+", type=int, default=(0,))
    return setting.parsed(parser)


if __name__ == "__main__":
    sys.exit(main())
