"""The demo's task, every method, several seeds: `python -m benchmarks.methods.digits [--seeds 0 1 2] [--labels 2]`.

Each cell is one run of `python -m worker.training` on handwritten digits with a few labels per class, and one line in
the results file; a second call goes on where the first one stopped. The spec is the demo's (app/demo/spec.py).
"""

import argparse
import sys
import tempfile
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path

from app.demo.digits import write_digits_zip
from app.demo.spec import IMAGE_SIZE, demo_spec
from benchmarks import RESULTS
from benchmarks.common.cells import Cell, Line, find, read, run_cells
from benchmarks.common.table import NOTHING, by_seed, differences, markdown, mean_seconds, paired, spread
from benchmarks.common.training import Machine, machine_name, run_training

METHODS = ("scratch", "kd", "reprogrammed-kd", "tdmr")
HEADER = ("method", "student", "− scratch", "− kd", "probe", "reprogrammed teacher", "s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--labels", type=int, default=2, help="labelled images per class (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS / "digits.jsonl")
    arguments = parser.parse_args()
    cells = [plan(method, seed, arguments.labels) for seed in arguments.seeds for method in METHODS]
    failures = run_cells(cells, arguments.results, run)
    recorded = read(arguments.results)
    print(f"\n{table([line for cell in cells if (line := find(cell, recorded)) is not None])}")
    return 1 if failures else 0


def plan(method: str, seed: int, labels: int) -> Cell:
    spec = demo_spec(method, seed=seed) | {"export": {"formats": ["onnx"], "measure": False}}
    facts = {
        "data": "scikit-learn digits",
        "method": method,
        "labels_per_class": labels,
        "seed": seed,
        "student": spec["student"],
        "teacher": spec["teacher"],
        "image_steps": spec["distill"]["image_steps"],
    }
    return Cell(facts, spec, f"{method}, seed {seed}")


def run(cell: Cell, stop: threading.Event) -> Line:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        archive, data = root / "digits.zip", root / "data"
        labels, seed = cell.facts["labels_per_class"], cell.facts["seed"]
        write_digits_zip(archive, labels_per_class=labels, seed=seed, side=IMAGE_SIZE)
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(data)
        outcome = run_training(cell.spec, data, Machine(root / "cache"), stop)
    metrics = outcome.manifest["metrics"]
    return {
        **cell.facts,
        "student_accuracy": metrics["student_accuracy"],
        "teacher_accuracy": metrics.get("teacher_accuracy"),
        "probe_accuracy": metrics.get("probe_accuracy"),
        "seconds": outcome.seconds,
        "stage_seconds": outcome.manifest["seconds"],
        "machine": machine_name(),
        "spec": outcome.manifest["spec"],
    }


def table(lines: Sequence[Line]) -> str:
    """Mean (least – most) per method, and the differences paired by seed."""
    found = {m: [line for line in lines if line["method"] == m] for m in METHODS}
    student = {method: by_seed(of_method) for method, of_method in found.items()}
    return markdown(
        HEADER,
        (
            [
                f"`{method}`",
                spread(student[method]),
                *(differences(paired(student[method], student[m])) if m != method else NOTHING for m in METHODS[:2]),
                spread(by_seed(of_method, "probe_accuracy")),
                spread(by_seed(of_method, "teacher_accuracy")),
                mean_seconds(of_method),
            ]
            for method, of_method in found.items()
            if of_method
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
