"""What the benchmarks train: every default in one place, each an option of every benchmark's command."""

import argparse
import copy
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from app.domain.config import DistillConfig, ViewConfig
from benchmarks.common.cells import Cell, Line
from benchmarks.common.data import Subset
from benchmarks.common.training import Machine, machine_name, run_training
from worker.training.methods.registry import METHODS

DATA_SETS = ("clothing", "grocery", "sign-digits")
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Setting:
    """The training that all cells of a benchmark share."""

    teacher: str = "mobilenetv2_100.in1k"
    teacher_size: int = 224
    """Side in pixels of the teacher's views: the one it was pretrained at, as in a job that names none."""
    student: str = "mobilenetv3_small_050"
    image_size: int = 96
    """Side in pixels of the student's views."""
    image_steps: int = 60_000
    """Equal for all methods."""
    views: int = ViewConfig().count
    """Cached views an image."""
    batch_size: int = DistillConfig().batch_size
    """Images per step in stage 2."""
    proxy_weight: float = DistillConfig().proxy_weight
    """Of the proxy KL, which the default had until it was seen to give nothing."""

    def spec(self, method: str, seed: int, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A TrainingSpec as JSON, with `changes`."""
        info = METHODS[method].info
        spec: dict[str, Any] = {
            "method": method,
            "teacher": self.teacher if info.needs_teacher else None,
            "student": self.student if info.needs_student else None,
            "pretrained": False,
            "image_size": self.image_size,
            "seed": seed,
            "views": {"count": self.views},
            "reprogram": {"image_size": self.teacher_size},
            "distill": {
                "image_steps": self.image_steps,
                "batch_size": self.batch_size,
                "proxy_weight": self.proxy_weight,
            },
            "export": {"formats": ["onnx"], "measure": False},
        }
        return changed(spec, changes or {})


def changed(spec: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `spec` with other values, by dotted names such as {"reprogram.taps": "last"}."""
    other = copy.deepcopy(dict(spec))
    for name, value in changes.items():
        *path, last = name.split(".")
        inner = other
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return other


PRETRAINED: dict[str, Any] = {
    "teacher": "tf_efficientnet_lite2.in1k",
    "teacher_size": 260,
    "student": "tf_efficientnet_lite0.in1k",
    "image_size": 128,
    "image_steps": 12_000,
}
"""Of the benchmarks whose students start from weights of their own."""


def add_options(parser: argparse.ArgumentParser, results: Path) -> None:
    """The options that all benchmarks on photographs have."""
    parser.add_argument("--data", type=Path, help="folder of the data sets' zip files; needed to run")
    parser.add_argument("--weights", type=Path, help="folder of local teachers, as TDMR_MODELS_DIR")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir(), "tdmr-benchmarks"),
        help="folder of extracted images and of the teacher's answers, shared by all cells (%(default)s)",
    )
    parser.add_argument("--results", type=Path, default=results, help="a line for each cell (%(default)s)")
    parser.add_argument("--table", action="store_true", help="only print the table of what is there")
    parser.add_argument("--threads", type=int, default=1, help="of each run (%(default)s)")
    for option in fields(Setting):
        name = f"--{option.name.replace('_', '-')}"
        parser.add_argument(name, type=type(option.default), default=option.default, help="(%(default)s)")


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    arguments = parser.parse_args()
    if arguments.data is None and not arguments.table:
        parser.error("--data is needed to run; --table only prints what is there")
    return arguments


def labels(text: str) -> int | None:
    """An option's number of labels per class; None for `all`."""
    return None if text == "all" else int(text)


def chosen(arguments: argparse.Namespace) -> Setting:
    return Setting(**{option.name: getattr(arguments, option.name) for option in fields(Setting)})


def machine(arguments: argparse.Namespace) -> Machine:
    return Machine(arguments.cache / "answers", arguments.weights, arguments.threads)


def in_parallel(parser: argparse.ArgumentParser) -> None:
    """For benchmarks that measure no time."""
    parser.add_argument("--jobs", type=int, default=1, help="cells at a time, each of its own process (%(default)s)")


def archive(arguments: argparse.Namespace, data: str) -> Path:
    """Where a data set lies; its name alone where nothing is to be run."""
    return (arguments.data or Path()) / f"{data}.zip"


def photographs(subset: Subset, spec: dict[str, Any], name: str) -> Cell:
    """A cell on photographs."""
    facts = subset.facts
    labels = facts["labels_per_class"]
    label = f"{facts['data']}, {labels} labels, {name}, seed {facts['seed']}"
    return Cell(facts=facts, spec=spec, label=label, context=(subset, name))


def run_on_photographs(arguments: argparse.Namespace, cell: Cell, stop: threading.Event) -> Line:
    """Run a cell and describe it in a line."""
    subset, name = cell.context
    where = machine(arguments)
    outcome = run_training(cell.spec, subset.folder(arguments.cache / "data"), where, stop)
    manifest = outcome.manifest
    spec, metrics, teacher = manifest["spec"], manifest["metrics"], manifest["teacher"]
    learns_unlabelled = METHODS[spec["method"]].info.needs_teacher and spec["distill"]["use_unlabelled"]
    return {
        "data": subset.archive.stem,
        "method": spec["method"],
        "row": name,
        "labels_per_class": cell.facts["labels_per_class"],
        "unlabelled": manifest["dataset"]["images"].get("unlabelled", 0) if learns_unlabelled else 0,
        "student": spec["student"],
        "teacher": spec["teacher"],
        "seed": subset.seed,
        "image_steps": spec["distill"]["image_steps"],
        "student_accuracy": metrics.get("student_accuracy"),
        "probe_accuracy": metrics.get("probe_accuracy"),
        "teacher_accuracy": metrics.get("teacher_accuracy"),
        "val_accuracy": outcome.curves.get("val_accuracy"),
        "seconds": round(outcome.seconds, 1),
        "cpu_seconds": outcome.cpu_seconds,
        "stage_seconds": {stage: round(seconds, 2) for stage, seconds in manifest["seconds"].items()},
        "right": outcome.right,
        "image_size": spec["image_size"],
        "teacher_image_size": None if teacher is None else teacher["image_size"],
        "peak_rss_mib": outcome.peak_rss_mib,
        "peak_anonymous_mib": outcome.peak_anonymous_mib,
        "threads": where.threads,
        "device": manifest["device"],
        "machine": machine_name(),
        "versions": {package: manifest["versions"][package] for package in ("python", "torch", "timm")},
        "data_digest": manifest["dataset"]["digest"],
        **{key: value for key, value in cell.facts.items() if key not in ("data", "labels_per_class", "seed")},
        "spec": spec,
    }
