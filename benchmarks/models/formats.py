"""What each export format costs and gives: a CNN, a ViT and a hybrid, trained for real on photographs.

    python -m benchmarks.models.formats --data FOLDER/clothing.zip

For each student the real training command writes and judges all formats; then each file and PyTorch's eager student are
timed one after the other, on one thread. Lines go to benchmarks/results/formats.jsonl; `--table` prints the last of
each. With `--keep FOLDER` a trained student is there for the next call, which then only times it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from app.domain.config import ExportFormat
from app.domain.manifest import Manifest
from benchmarks import RESULTS
from worker.training.export.latency import cpu_name, measure_files
from worker.training.export.runtime import timed
from worker.training.export.source import example, wrapped
from worker.verify import rebuild

STUDENTS = {"CNN": "mobilenetv3_small_050", "ViT": "vit_tiny_patch16_224", "hybrid": "edgenext_xx_small"}
LINES = RESULTS / "formats.jsonl"
EAGER = "PyTorch eager"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a data set as a zip")
    parser.add_argument("--kinds", nargs="*", choices=STUDENTS, default=list(STUDENTS))
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--image-steps", type=int, default=8000)
    parser.add_argument("--keep", type=Path, help="folder for trained students; else they are thrown away")
    parser.add_argument("--table", action="store_true", help="only print what is in the results")
    options = parser.parse_args()
    if not options.table:
        for kind in options.kinds:
            for line in measure(kind, options):
                with LINES.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)
    show([json.loads(line) for line in LINES.read_text().splitlines()])


def measure(kind: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One line for PyTorch eager, and one for each format."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(options.keep or name, kind)
        manifest = trained(STUDENTS[kind], folder, options)
        torch.set_num_threads(1)
        student = wrapped(rebuild(folder / "out", manifest))
        images = example(options.image_size, 1)
        with torch.inference_mode():
            eager = sorted(timed(lambda: student(images)))
        eager_ms = 1000 * eager[len(eager) // 2]
        measured = measure_files(
            folder / "out",
            manifest.parity,
            image_size=options.image_size,
            device=torch.device("cpu"),
            timed=True,
            on_event=lambda code, message: print(message, file=sys.stderr),
        )
        shared = {
            "kind": kind,
            "student": STUDENTS[kind],
            "pretrained": False,
            "data": options.data.stem,
            "image_size": options.image_size,
            "image_steps": options.image_steps,
            "student_top1": manifest.metrics["student_accuracy"],
            "cpu": cpu_name(),
        }
        size = (folder / "out" / "student.safetensors").stat().st_size
        yield {**shared, "format": EAGER, "bytes": size, "p50_ms": eager_ms, "ratio": 1.0}
        for file, parity in manifest.parity.items():
            latencies = measured[file].latencies
            p50 = next((latency.p50_ms for latency in latencies if latency.batch == 1), None)
            yield {
                **shared,
                "format": file,
                **parity.model_dump(exclude_none=True),
                "bytes": measured[file].bytes,
                "p50_ms": p50,
                "ratio": None if p50 is None else p50 / eager_ms,
            }
        for file, why in manifest.withheld.items():
            yield {**shared, "format": file, "withheld": why}


def trained(student: str, folder: Path, options: argparse.Namespace) -> Manifest:
    path = folder / "out" / "manifest.json"
    if not path.exists():
        folder.mkdir(parents=True)
        with zipfile.ZipFile(options.data) as archive:
            archive.extractall(folder / "data")
        train(student, folder, options)
    return Manifest.model_validate_json(path.read_bytes())


def train(student: str, folder: Path, options: argparse.Namespace) -> None:
    spec = {
        "method": "scratch",
        "student": student,
        "image_size": options.image_size,
        "distill": {"image_steps": options.image_steps},
        "export": {"formats": [str(chosen) for chosen in ExportFormat], "measure": False},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    command = [sys.executable, "-m", "worker.training", *(str(folder / part) for part in ("spec.json", "data", "out"))]
    done = subprocess.run(command, env=dict(os.environ), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:])


def show(lines: list[dict[str, Any]]) -> None:
    """The table of docs/benchmarks/exports.md."""
    print("| student | format | agreement | max abs. Δlogit | accuracy loss (95 %) | bytes | p50 / eager |")
    print("|---|---|---|---|---|---|---|")
    for line in {(line["student"], line["format"]): line for line in lines}.values():
        who = f"{line['kind']} `{line['student']}`, top-1 {line['student_top1']:.1%}"
        if "withheld" in line:
            print(f"| {who} | `{line['format']}` | withheld: {line['withheld']} | | | | |")
            continue
        agreement = f"{line['top1_agreement']:.2%}" if "top1_agreement" in line else ""
        difference = f"{line['max_logit_difference']:.1e}" if "max_logit_difference" in line else ""
        loss = ""
        if "accuracy_loss" in line:
            low, high = line["accuracy_loss_interval"]
            loss = f"{line['accuracy_loss']:.2%} ({low:.2%} to {high:.2%})"
        ratio = "" if line["ratio"] is None else f"{line['ratio']:.2f}"
        print(f"| {who} | `{line['format']}` | {agreement} | {difference} | {loss} | {line['bytes']:,} | {ratio} |")


if __name__ == "__main__":
    main()
