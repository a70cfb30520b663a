"""`python -m worker.training.measure`: what this machine takes for the pieces of a job, for estimates before a run.

Prints `SpeedLine`s as it goes, so that whoever ends it early keeps what there is: first some architectures, small and
large, with and without depthwise convolutions, then a whole job on made-up images, in every format. Networks that are
not among them are interpolated (app.domain.speeds).
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import psutil
import torch
from PIL import Image
from torch import Tensor

from app.domain.config import ExportFormat
from app.domain.errors import TdmrError
from app.domain.progress import Line, SpeedLine
from app.domain.runtime import RuntimeConfig
from app.domain.spec import TrainingSpec
from app.domain.speeds import Work
from app.logs import configure_logging
from worker.training.engine.autotune import tune_muon
from worker.training.engine.reporter import Reporter
from worker.training.engine.timing import step_seconds
from worker.training.models.networks import Execution, Student, build_student
from worker.training.pipeline import train
from worker.training.run import Run

ARCHITECTURES = ("mobilenetv3_small_050", "mobilenetv2_100", "resnet18", "efficientnet_b0", "vit_tiny_patch16_224")
SMALL, SIZE = 64, 128
"""Sides in pixels. What small images cost does not follow from large ones."""
FEW, BATCH, STEPS, CLASSES = 8, 32, 3, 10
OPTIMISERS = ("muon", "adamw")
"""The default first."""
JOB = {
    "teacher": "resnet10t.glyphs62",
    "student": "mobilenetv3_small_050",
    "pretrained": False,
    "image_size": 96,
    "views": {"count": 1},
    "reprogram": {"steps": 40, "self_training": 0},
    "distill": {"image_steps": 640},
}
"""Small, and with all stages."""
_IMAGES = {"train": 24, "val": 8, "test": 16}
_PICTURE = 320
_LEAST_SHARE = 0.1
"""What images, and a step, cost of it at the least: other work on the machine can make the difference vanish."""

log = logging.getLogger(__name__)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m worker.training.measure", description=__doc__.splitlines()[0])
    parser.add_argument("--runtime", type=Path, metavar="RUNTIME.json", help="settings; default: the environment")
    arguments = parser.parse_args()
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    runtime = RuntimeConfig.read(arguments.runtime, os.environ)
    configure_logging(runtime.log_level)
    if runtime.threads is not None:
        torch.set_num_threads(runtime.threads)
    reporter = _SpeedsOnly(lines)
    reporter.learned(Work.START, time.time() - psutil.Process().create_time(), 1)
    reporter.learned(Work.RESIDENT, psutil.Process().memory_info().rss, 1)
    measure_networks(reporter, ARCHITECTURES, runtime)
    measure_job(lines, runtime)
    return 0


def measure_networks(reporter: Reporter, architectures: Sequence[str], runtime: RuntimeConfig) -> None:
    """Training and answering, and what training keeps of an image; each network alone, with made-up images."""
    device = torch.device(runtime.device if runtime.device != "auto" else _found())
    with tempfile.TemporaryDirectory() as folder:
        tune_muon(device, runtime, Path(folder), reporter.event)
    for name in architectures:
        student = _student(name, SIZE, device)
        images = student.example(BATCH)
        reporter.learned(Work.ACTIVATIONS, _kept_bytes(student, images), BATCH, name, SIZE)
        _measure_training(reporter, name, student)
        student.eval()
        with torch.no_grad():
            reporter.learned(Work.FORWARD, _least(_seconds(device, lambda: student(images))), BATCH, name, SIZE)  # noqa: B023


def _measure_training(reporter: Reporter, name: str, student: Student) -> None:
    """A step's own share is what is left of it at a few images; see Work.LEARN and Work.STEP."""
    small = _student(name, SMALL, student.mean.device)
    many = _least(step_seconds(small, small.example(BATCH), OPTIMISERS[0], STEPS))
    few = {optimiser: _least(step_seconds(small, small.example(FEW), optimiser, STEPS)) for optimiser in OPTIMISERS}
    image = max(_LEAST_SHARE * many / BATCH, (many - few[OPTIMISERS[0]]) / (BATCH - FEW))
    own = {optimiser: max(_LEAST_SHARE * seconds, seconds - FEW * image) for optimiser, seconds in few.items()}
    large = _least(step_seconds(student, student.example(BATCH), OPTIMISERS[0], STEPS)) - own[OPTIMISERS[0]]
    reporter.learned(Work.LEARN, image, 1, name, SMALL)
    reporter.learned(Work.LEARN, max(image, large / BATCH), 1, name, SIZE)
    for optimiser, seconds in own.items():
        reporter.learned(Work.STEP, seconds, 1, name, how=optimiser)


def measure_job(out: TextIO, runtime: RuntimeConfig) -> None:
    """A whole job from made-up images to files; its own reporter tells what it takes. A format that cannot be written
    here is passed over, with what comes behind it."""
    with tempfile.TemporaryDirectory(prefix="tdmr-measure-") as folder:
        data, speeds = Path(folder, "data"), runtime.model_copy(update={"cache_dir": Path(folder, "cache")})
        _draw(data)
        spec = TrainingSpec(**JOB, export={"formats": list(ExportFormat)})
        try:
            train(Run(spec, data, Path(folder, "out"), speeds, _SpeedsOnly(out), lambda: False))
        except TdmrError as error:
            log.warning("the job could not be measured to its end: %s", error.detail)


class _SpeedsOnly(Reporter):
    """A reporter of a job that nobody asked for: only what it has learned is told."""

    def emit(self, line: Line) -> None:
        if isinstance(line, SpeedLine):
            super().emit(line)


def _student(name: str, size: int, device: torch.device) -> Student:
    return build_student(name, CLASSES, size).to(device).run_as(Execution(channels_last=True))


def _seconds(device: torch.device, once: Callable[[], object]) -> Iterator[float]:
    for number in range(1 + STEPS):
        began = time.perf_counter()
        once()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if number:
            yield time.perf_counter() - began


def _least(seconds: Iterable[float]) -> float:
    """Other work on the machine makes a round slower and never faster."""
    return min(seconds)


def _kept_bytes(student: Student, images: Tensor) -> int:
    """What autograd keeps for the way back."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        student(images)
    return sum(kept.values())


def _draw(folder: Path) -> None:
    """Noise in two classes: how long it takes does not depend on what there is to see."""
    generator = torch.Generator().manual_seed(0)
    for split, count in _IMAGES.items():
        for number in range(count):
            path = folder / split / str(number % 2) / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = torch.randint(0, 256, (_PICTURE // 8, _PICTURE // 8, 3), generator=generator, dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).resize((_PICTURE, _PICTURE)).save(path)


def _found() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    sys.exit(main())
