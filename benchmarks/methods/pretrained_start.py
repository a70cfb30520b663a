"""What a pretrained student needs to keep what it brings:
`python -m benchmarks.methods.pretrained_start --data FOLDER --weights FOLDER`.

Two things are taken away, one at a time and both: the statistics that its batch norms came with (then each batch's own
take their place), and the classifier that learns first. Without either, `--methods finetune` is plain fine-tuning, as
most training scripts do it. One thread, in this process.
"""

import argparse
import functools
import io
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import torch
from torch import nn

from app.domain.runtime import RuntimeConfig
from app.domain.spec import TrainingSpec
from benchmarks import RESULTS
from benchmarks.common import setting
from benchmarks.common.cells import Cell, Line, run_and_show
from benchmarks.common.data import Subset
from benchmarks.common.table import by_seed, markdown, spread
from benchmarks.common.training import machine_name
from worker.training.engine.reporter import Reporter
from worker.training.methods.registry import METHODS
from worker.training.models.networks import Student
from worker.training.pipeline import train
from worker.training.run import Run

DATA_SETS = ("clothing", "trashnet")
LABELS = 20
ROWS = {
    "both": (True, True),
    "classifier first alone": (True, False),
    "kept statistics alone": (False, True),
    "neither": (False, False),
}
"""By name: whether the classifier learns first, and whether the statistics are kept."""


def main() -> int:
    arguments = _options()
    torch.set_num_threads(arguments.threads)
    run = functools.partial(_run, arguments)
    return run_and_show(arguments, list(plan(arguments)), run, functools.partial(table, arguments))


def table(arguments: argparse.Namespace, lines: list[Line]) -> str:
    rows = [
        [data, f"`{method}`", row, spread(by_seed(found))]
        for data, method, row in itertools.product(arguments.sets, arguments.methods, arguments.rows)
        if (found := [line for line in lines if _place(line) == (data, method, row)])
    ]
    return markdown(("data", "method", "kept", "student"), rows)


def plan(arguments: argparse.Namespace) -> Iterator[Cell]:
    chosen = setting.chosen(arguments)
    for seed in arguments.seeds:
        for method, row, data in itertools.product(arguments.methods, arguments.rows, arguments.sets):
            head_first, kept = ROWS[row]
            subset = Subset(setting.archive(arguments, data), LABELS, seed)
            spec = chosen.spec(method, seed, {"pretrained": True, "distill.head_first": head_first})
            facts = {**subset.facts, "keeps_statistics": kept}
            yield Cell(facts=facts, spec=spec, label=f"{data}, {method}, {row}, seed {seed}", context=(subset, row))


def _place(line: Line) -> tuple[str, str, str]:
    return line["data"], line["spec"]["method"], line["row"]


def _run(arguments: argparse.Namespace, cell: Cell, stop: threading.Event) -> Line:
    subset, row = cell.context
    where = setting.machine(arguments)
    runtime = RuntimeConfig(device="cpu", hub=False, models_dir=where.weights, cache_dir=where.cache)
    spec, folder = TrainingSpec(**cell.spec), subset.folder(arguments.cache / "data")
    own_statistics = patch.object(Student, "train", nn.Module.train)  # as if a student were any other module
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as out, nullcontext() if cell.facts["keeps_statistics"] else own_statistics:
        manifest = train(Run(spec, folder, Path(out), runtime, Reporter(io.StringIO()), stop.is_set))
    return {
        "data": subset.archive.stem,
        "row": row,
        "labels_per_class": LABELS,
        "seed": subset.seed,
        "seconds": round(time.monotonic() - began, 1),
        "student_accuracy": manifest.metrics["student_accuracy"],
        "teacher_accuracy": manifest.metrics.get("teacher_accuracy"),
        "machine": machine_name(),
        **{key: value for key, value in cell.facts.items() if key not in ("data", "labels_per_class", "seed")},
        "spec": spec.model_dump(mode="json"),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    setting.add_options(parser, RESULTS / "pretrained-start.jsonl")
    parser.set_defaults(**setting.PRETRAINED | {"image_steps": 3_000})
    parser.add_argument("--sets", nargs="+", default=DATA_SETS, help="names of the zip files")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=("tdmr",))
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=tuple(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=(0,))
    return setting.parsed(parser)


if __name__ == "__main__":
    sys.exit(main())
