"""What a GPU is worth to a job: `python -m benchmarks.gpu [--image-steps 24000] [--data ZIP --teacher … --weights …]`.

One command of a few minutes that needs torch, timm, safetensors, onnx, onnxruntime, numpy, Pillow and pydantic: no
service, no installation and no network. Without onnxscript there is no ONNX file, and that is said. Each run is a
process of its own, so that its memory is its own too:

- the same job on the CPU, on the GPU with the teacher's answers cached, and with the teacher asked live;
- what the GPU made of precision and memory format, and whether the exported files agree with the student;
- images a second of the job beside those of its student alone and of its loader alone, for several batch sizes;
- two jobs at once on one card.

Without a GPU the CPU stands in for it: a rehearsal. What was measured is appended to the results file as one line.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from app.demo.digits import write_digits_zip
from app.demo.spec import TEACHER, demo_spec
from benchmarks.common.table import NOTHING, markdown

RESULTS = Path(__file__).parents[1] / "results" / "gpu.jsonl"
NAMED = ("tdmr", "onnxscript")
"""Packages that a run names and that need not be installed here."""
Facts = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a zip of images [handwritten digits, two labels a class]")
    parser.add_argument("--teacher", default=TEACHER)
    parser.add_argument("--weights", type=Path, help="folder of local weights")
    parser.add_argument("--student", default="mobilenetv3_small_050")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--image-steps", type=int, default=24_000)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else "no GPU: the CPU stands in"
    print(f"{name}; torch {torch.__version__}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(options, Path(temporary))
        runs = {
            "CPU, cached": bench.job("cpu", "cached"),
            f"{device}, cached": bench.job(device, "cached"),
            f"{device}, live": bench.job(device, "live"),
        }
        print_runs(runs)
        rates = bench.rates(device)
        print_rates(rates, runs[f"{device}, live"])
        pair = bench.two_jobs(device)
        alone = runs[f"{device}, live"]["wall_seconds"]
        print(f"\nTwo jobs at once, live: {pair:.0f} s; one alone {alone:.0f} s, so {2 * alone / pair:.2f} × the work.")
    line = {"device": name, "torch": torch.__version__, "spec": bench.spec("live"), "runs": runs, "rates": rates}
    with options.results.open("a") as file:
        file.write(json.dumps(line | {"two_jobs_seconds": pair}) + "\n")
    return 0


class Bench:
    """The runs of one set of options, below one folder."""

    def __init__(self, options: argparse.Namespace, root: Path) -> None:
        self._options, self._root, self._count = options, root, 0
        archive = options.data or root / "digits.zip"
        if options.data is None:
            write_digits_zip(archive, side=options.image_size)
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(root / "data")
        self._environment = dict(os.environ)
        missing = [package for package in NAMED if not _is_installed(package)]
        for package in missing:  # a manifest names the version of each
            facts = root / "packages" / f"{package}-0.dist-info" / "METADATA"
            facts.parent.mkdir(parents=True)
            facts.write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0+absent\n")
        if missing:
            self._environment["PYTHONPATH"] = str(root / "packages")
        self._formats = ["torchscript"] if "onnxscript" in missing else ["onnx", "torchscript"]
        if "onnxscript" in missing:
            print("onnxscript is not installed: no ONNX file is written.")

    def spec(self, mode: str) -> Facts:
        """The demo's job with the chosen networks; two views of each image are enough for what is measured."""
        spec = demo_spec("tdmr", self._options.teacher)
        chosen = {"student": self._options.student, "image_size": self._options.image_size}
        spec["views"] |= {"count": 2, "mode": mode}
        spec["distill"] |= {"image_steps": self._options.image_steps}
        if self._options.data is not None:  # photographs may be mirrored, and shown at the teacher's own size
            spec["views"] |= {"hflip": True}
            spec["reprogram"] |= {"image_size": None}
        return spec | chosen | {"export": {"formats": self._formats}}

    def job(self, device: str, mode: str) -> Facts:
        """One whole job."""
        return self._wait(self._start("job", device, mode))

    def two_jobs(self, device: str) -> float:
        """Seconds until two jobs that begin together have both ended."""
        started = [self._start("job", device, "live") for _ in range(2)]
        return float(max(self._wait(process)["wall_seconds"] for process in started))

    def rates(self, device: str) -> Facts:
        """Images a second of the parts, by batch size."""
        sizes = [str(size) for size in self._options.batch_sizes]
        return self._wait(self._start("rates", device, "live", *sizes))

    def _start(self, what: str, device: str, mode: str, *more: str) -> "subprocess.Popen[str]":
        self._count += 1
        folder = self._root / str(self._count)
        folder.mkdir()
        (folder / "spec.json").write_text(json.dumps(self.spec(mode)))
        weights = self._options.weights
        runtime = {"device": device, "models_dir": None if weights is None else str(weights.resolve())}
        (folder / "runtime.json").write_text(json.dumps(runtime))
        command = [sys.executable, "-m", "benchmarks.gpu.one", what, str(folder), str(self._root / "data"), *more]
        return subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE, text=True)

    @staticmethod
    def _wait(process: "subprocess.Popen[str]") -> Facts:
        """What it prints last."""
        said, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"A run ended with status {process.returncode}:\n{said[-2000:]}")
        facts: Facts = json.loads(said.splitlines()[-1])
        return facts


def print_runs(runs: Mapping[str, Facts]) -> None:
    """A row for each run, then what it said of its settings and its files."""
    header = ("run", "s", "prepare", "reprogram", "distil", "export", "peak MiB", "teacher", "student")
    stages = ("prepare", "reprogram", "distill", "export")
    rows = [
        (
            name,
            f"{facts['wall_seconds']:.0f}",
            *(f"{facts['seconds'].get(stage, 0.0):.1f}" for stage in stages),
            f"{facts['peak_mib']:.0f}",
            _share(facts["metrics"].get("teacher_accuracy")),
            _share(facts["metrics"].get("student_accuracy")),
        )
        for name, facts in runs.items()
    ]
    print("\n" + markdown(header, rows), flush=True)
    for name, facts in runs.items():
        print(f"\n{name}:")
        for message in facts["settings"]:
            print(f"  {message}")
        for file in facts["parity"]:
            print(f"  {file['name']}: agreement {file['agreement']:.2%}, max |Δlogit| {file['difference']:.1e}")


def print_rates(rates: Facts, job: Facts) -> None:
    """The parts beside the whole."""
    rows = [
        (f"{each['batch']}", f"{each['student']:,.0f}", f"{each['loader']:,.0f}", f"{each['peak_mib']:.0f}")
        for each in rates["batches"]
    ]
    print("\n" + markdown(("batch", "student alone, images/s", "loader alone, images/s", "peak MiB"), rows))
    print(f"\nThe job's own stage 2: {job['images_per_second']:,.0f} images/s", flush=True)


def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"


if __name__ == "__main__":
    sys.exit(main())
