"""One architecture of timm as teacher, as student, and through every export: what works, and why the rest does not.

N images, S pixels of a side, B batch, K classes.
"""

import io
import re
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from timm.models import get_pretrained_cfg

from app.domain.config import ExportConfig, ExportFormat
from app.domain.errors import TdmrError
from app.domain.manifest import Preprocessing
from app.domain.spec import TrainingSpec
from app.imaging import SUFFIXES, fit_square
from benchmarks.models.zoo_report import LIMIT
from worker.training.engine.loop import Optimisation, fit
from worker.training.export.prediction import predict
from worker.training.export.student import export_student
from worker.training.methods.registry import build_task
from worker.training.methods.task import DistillBatch
from worker.training.models.networks import Student, build_student, build_teacher
from worker.training.teacher.proxy_space import Reprogrammer

FORMATS = {
    "onnx": ExportFormat.ONNX,
    "torchscript": ExportFormat.TORCHSCRIPT,
    "pt2": ExportFormat.EXPORTED_PROGRAM,
    "int8": ExportFormat.ONNX_INT8,
}

SIDES = (96, 128, 160, 192, 224, 256, 320, 384, 448, 512)
"""Tried from small to large; the side it was made for is the last resort."""
LARGEST_NATIVE = 256
"""Teachers made for more pixels are tried from small to large too: their own size would take minutes."""
CLASSES = ("ant", "bee", "cat", "dog", "elk")
STEPS, BATCH, IMAGES = 3, 8, 9
MUON_BELOW = 12_000_000
"""Parameters above which AdamW trains instead: Muon's matrix products of three steps would take a minute."""
BOUND, SMALLEST_BOUND, LARGEST_BOUND = 1e-2, 1e-7, 1e-4
"""Largest |Δlogit|, as a part of what the pictures differ by: logits after three steps are small, and the product's
bound would let a wrong file pass. Never more than the product allows."""
LONGEST_REASON = 200

Tell = Callable[[str, Any], None]
"""Takes a part, or the name of a fact, and what came of it."""


class Settled(NamedTuple):
    """A network at the smallest size it takes."""

    network: Any
    side: int
    refused: dict[int, str]
    """Smaller sides, and why it does not take them."""


@dataclass
class Trial:
    """Tries what is asked for and tells each outcome as soon as it is known: the process may not live to the end."""

    architecture: str
    scratch: Path
    tell: Tell
    data: Path | None = None
    """An archive of images for the comparison; without it they are made up."""
    sides: Sequence[int] = field(default=SIDES)

    def run(self, parts: Sequence[str]) -> None:
        torch.manual_seed(0)
        if "teacher" in parts:
            self._part("teacher", self._teach)
        if any(part != "teacher" for part in parts):
            student = self._part("student", self._study)
            formats = [part for part in parts if part not in ("teacher", "student")]
            if student is not None:
                self._export(student, formats)
            else:
                for part in formats:
                    self.tell(part, "there is no student to export")

    def _part(self, name: str, attempt: Callable[[], Any]) -> Any:
        """Tell what came of it; None where it failed."""
        self.tell("begin", name)
        began = time.process_time()
        try:
            result = attempt()
        except Exception as error:  # whatever a network of the thousand raises is a result
            self.tell(name, reason(error))
            return None
        finally:
            self.tell(f"{name}_seconds", round(time.process_time() - began, 1))
        self.tell(name, True)
        return result

    def _teach(self) -> bool:
        """Build, read the taps of two images, look at them."""
        native = _native_side(self.architecture)
        sides = [None] if native <= LARGEST_NATIVE else [*(side for side in self.sides if side < native), None]
        settled = _settle(lambda side: build_teacher(f"{self.architecture}.random", side), sides, native)
        teacher = settled.network
        self.tell("teacher_side", settled.side)
        self.tell("taps", f"{len(teacher.stage_widths)} by {teacher.tapped.way}")
        taps = teacher(_noise(2, settled.side))
        assert [tap.shape for tap in taps] == [(2, width) for width in teacher.widths]
        for number, tap in enumerate(taps):
            if not (torch.isfinite(tap).all() and tap.std() > 0):
                raise ValueError(f"tap {number + 1} of {len(taps)} says nothing: it is constant, or not a number")
        if not teacher.stage_widths:
            raise ValueError("no stage can be read, the pre-logits vector alone")
        return True

    def _study(self) -> Student:
        """Three steps of the product's own loop on random images, the default method with all of its losses."""
        native = _native_side(self.architecture)
        sides = sorted({*(side for side in self.sides if side < native), native})
        student, side, refused = _settle(
            lambda side: build_student(self.architecture, len(CLASSES), side or native), sides, native
        )
        self.tell("student_side", side)
        self.tell("refused_sides", {str(small): why for small, why in refused.items()})
        parameters = sum(parameter.numel() for parameter in student.network.parameters())
        self.tell("parameters", parameters)
        spec = TrainingSpec(
            teacher=f"{self.architecture}.random",
            student=self.architecture,
            image_size=side,
            distill={
                "image_steps": STEPS * BATCH,
                "batch_size": BATCH,
                "align_weight": 1.0,
                "relation_weight": 1.0,
                "optimiser": "muon" if parameters < MUON_BELOW else "adamw",
            },
        )
        proxy = Reprogrammer([16], len(CLASSES), spec.reprogram).eval().requires_grad_(False)
        before = [value.clone() for value in student.network.parameters()]
        task = build_task(spec, student, proxy, None, (16,), None)
        config = spec.distill
        how = Optimisation(
            STEPS, spec.peak_learning_rate, config.weight_decay, config.warmup, config.clip_norm, config.optimiser
        )
        trained = fit(task, student, lambda step: _batch(step, side, proxy), how, ema=config.ema)
        assert isinstance(trained, Student)
        task.finish(trained)
        if all(torch.equal(old, new) for old, new in zip(before, trained.network.parameters(), strict=True)):
            raise ValueError("training changes nothing")
        self.tell("optimiser", config.optimiser)
        return trained

    def _export(self, student: Student, parts: Sequence[str]) -> None:
        """All formats in one call, as they share work; one that fails ends it, and the rest follow in another call."""
        side = student.image_size
        images = pictures(IMAGES, side, self.data)
        mean, std = student.normalisation["mean"], student.normalisation["std"]
        preprocessing = Preprocessing(
            resize_short_side=side, center_crop=side, interpolation="bilinear", mean=mean, std=std
        )
        logits_NK = predict(student.network, images, mean, std, batch_size=BATCH, device="cpu")
        spread = float(np.abs(logits_NK - logits_NK.mean(0)).max())
        self.tell("spread", float(f"{spread:.3g}"))
        bound = min(LARGEST_BOUND, max(BOUND * spread, SMALLEST_BOUND))
        left = [part for part in parts if part in FORMATS]

        def exported(code: str, message: str, *, warning: bool = False) -> None:
            part = left.pop(0)
            self.tell(f"{part}_says", message)
            self.tell(part, message if code == "withheld" else True)
            if left:
                self.tell("begin", left[0])

        while left:
            began = time.process_time()
            self.tell("begin", left[0])
            try:
                export_student(
                    student.network,
                    config=ExportConfig(
                        formats=tuple(FORMATS[part] for part in left),
                        max_logit_difference=bound,
                        max_accuracy_loss=1.0,  # three steps of training have no accuracy to lose
                    ),
                    out_dir=self.scratch,
                    image_size=side,
                    classes=CLASSES,
                    preprocessing=preprocessing,
                    fingerprint="0" * 64,
                    eval_images_u8=images,
                    eval_paths=[f"picture {number}" for number in range(IMAGES)],
                    on_event=exported,
                    calibration=lambda: images,
                )
            except Exception as error:
                self.tell(left.pop(0), reason(error))
            self.tell("export_seconds", round(time.process_time() - began, 1))


def reason(error: BaseException) -> str:
    """One line for a table: what we would tell a user, and what lies beneath it."""
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return f"{LIMIT} it needs more memory"
    words = error.detail if isinstance(error, TdmrError) else _first_line(error)
    cause = error.__cause__
    while cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
    if cause is not None:
        words = f"{words} {_first_line(cause)}"
    words = re.sub(r"(/[\w.-]+){3,}", "…", " ".join(words.split()))  # folders of this machine
    return words if len(words) <= LONGEST_REASON else f"{words[: LONGEST_REASON - 1]}…"


def pictures(count: int, side: int, data: Path | None) -> npt.NDArray[np.uint8]:
    """[N, S, S, 3]: images of an archive, evenly drawn, or smooth coloured noise."""
    if data is None:
        rng = np.random.default_rng(0)
        small = [Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8)) for _ in range(count)]
        return np.stack([np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)) for image in small])
    with zipfile.ZipFile(data) as archive:
        names = [name for name in sorted(archive.namelist()) if Path(name).suffix.lower() in SUFFIXES.values()]
        drawn = names[:: max(1, len(names) // count)][:count]
        opened = [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in drawn]
    return np.stack([np.asarray(fit_square(image, side, "bilinear")) for image in opened])


def _settle(build: Callable[[int | None], Any], sides: Sequence[int | None], native: int) -> Settled:
    """Build at the first side that the network takes. Raises what the last one raised."""
    refused: dict[int, str] = {}
    for number, side in enumerate(sides):
        try:
            return Settled(build(side), side or native, refused)
        except TdmrError as error:
            if number == len(sides) - 1:
                raise
            refused[side or native] = reason(error)
    raise AssertionError("there is always the native side")


def _native_side(architecture: str) -> int:
    config = get_pretrained_cfg(architecture)
    return int(config.input_size[-1]) if config else 224


def _batch(step: int, side: int, proxy: Reprogrammer) -> DistillBatch:
    random = torch.Generator().manual_seed(step)
    with torch.no_grad():
        z_BD, logits_BK = proxy(torch.randn(BATCH, sum(proxy.widths), generator=random))
    return DistillBatch(
        images_BCHW=torch.rand(BATCH, 3, side, side, generator=random),
        numbers_BN=torch.rand(BATCH, 3, generator=random),
        labels_B=torch.arange(BATCH) % len(CLASSES),
        teacher_z_BD=z_BD,
        teacher_logits_BK=logits_BK,
    )


def _noise(batch: int, side: int) -> torch.Tensor:
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(1))


def _first_line(error: BaseException) -> str:
    lines = (line.strip() for line in str(error).splitlines())
    return f"{type(error).__name__}: {next(filter(None, lines), '')}"
