"""The demo's task, every method, several seeds: `python benchmarks/digits.py [--seeds 0 1 2] [--labels 2]`.

Each cell is one run of `python -m worker.training` on handwritten digits with a few labels per class, and one line in
the results file; a second call goes on where the first one stopped. The spec is the demo's (worker/demo/spec.py).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from worker.demo.digits import write_digits_zip
from worker.demo.spec import IMAGE_SIZE, demo_spec

METHODS = ("scratch", "kd", "reprogrammed-kd", "tdmr")
RESULTS = Path(__file__).parent / "results" / "digits.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--labels", type=int, default=2, help="labelled images per class")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    done = read(arguments.results)
    for seed in arguments.seeds:
        for method in METHODS:
            key = (method, seed, arguments.labels, demo_spec(method)["distill"]["image_steps"])
            if key not in done:
                cell = run(method, seed, arguments.labels)
                print(
                    f"{method:<16} seed {seed}: {cell['student_accuracy']:.1%} in {cell['seconds']:.0f} s", flush=True
                )
                with arguments.results.open("a") as file:
                    file.write(json.dumps(cell) + "\n")
                done[key] = cell
    steps = demo_spec("tdmr")["distill"]["image_steps"]
    table([cell for key, cell in done.items() if key[2:] == (arguments.labels, steps)])


def read(path: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    cells = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    return {(c["method"], c["seed"], c["labels_per_class"], c["image_steps"]): c for c in cells}


def run(method: str, seed: int, labels: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_digits_zip(root / "digits.zip", labels_per_class=labels, seed=seed, side=IMAGE_SIZE)
        zipfile.ZipFile(root / "digits.zip").extractall(root / "data")
        spec = demo_spec(method, seed=seed) | {"export": {"formats": ["onnx"]}}
        (root / "spec.json").write_text(json.dumps(spec))
        began = time.monotonic()
        command = [
            sys.executable,
            "-m",
            "worker.training",
            *map(str, (root / "spec.json", root / "data", root / "out")),
        ]
        # one thread: another number of them rounds otherwise, and a run is then another draw
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode != 0:
            raise SystemExit(done.stdout.splitlines()[-1] if done.stdout else done.stderr)
        manifest = json.loads((root / "out" / "manifest.json").read_text())
    metrics = manifest["metrics"]
    return {
        "data": "scikit-learn digits",
        "method": method,
        "labels_per_class": labels,
        "seed": seed,
        "student": spec["student"],
        "teacher": spec["teacher"],
        "image_steps": spec["distill"]["image_steps"],
        "student_accuracy": metrics["student_accuracy"],
        "teacher_accuracy": metrics.get("teacher_accuracy"),
        "probe_accuracy": metrics.get("probe_accuracy"),
        "seconds": time.monotonic() - began,
        "stage_seconds": manifest["seconds"],
        "cores": os.cpu_count(),
    }


def table(cells: list[dict[str, Any]]) -> None:
    """Mean and spread per method, and the difference to scratch, paired by seed."""
    by_method = {m: {c["seed"]: c for c in cells if c["method"] == m} for m in METHODS}
    print("\n| method | student, mean (min – max) | above scratch, paired | probe | reprogrammed teacher | seconds |")
    print("|---|---|---|---|---|---|")
    for method, found in by_method.items():
        if not found:
            continue
        accuracies = [c["student_accuracy"] for c in found.values()]
        paired = [
            c["student_accuracy"] - by_method["scratch"][seed]["student_accuracy"]
            for seed, c in found.items()
            if seed in by_method["scratch"]
        ]
        print(
            f"| {method} | {statistics.mean(accuracies):.1%} ({min(accuracies):.1%} – {max(accuracies):.1%}) | "
            f"{', '.join(f'{100 * p:+.1f}' for p in paired)} | {_mean(found, 'probe_accuracy')} | "
            f"{_mean(found, 'teacher_accuracy')} | {statistics.mean(c['seconds'] for c in found.values()):.0f} |"
        )


def _mean(found: dict[int, dict[str, Any]], name: str) -> str:
    values = [c[name] for c in found.values() if c[name] is not None]
    return f"{statistics.mean(values):.1%}" if values else "–"


if __name__ == "__main__":
    main()
