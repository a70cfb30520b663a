"""The averaged student of the moment: its weights at each validation, and an ONNX file when somebody asks for one.

Neither changes what is trained: a preview is made of a copy, and draws no random number of the run.
"""

import copy
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from app.domain.manifest import ArtifactFile, Preprocessing
from app.domain.previews import (
    PREVIEW_FOLDER,
    PREVIEW_NOTE,
    PREVIEW_ONNX,
    PREVIEW_WEIGHTS,
    PreviewLine,
    PreviewMark,
    wanted_name,
    wanted_student,
)
from app.domain.spec import TrainingSpec
from worker.training.data.decoded import Pool, decode_squares
from worker.training.data.pools import Images
from worker.training.export.format import BATCH
from worker.training.export.formats.onnx import FORMAT as ONNX
from worker.training.export.formats.safetensors import write_safetensors
from worker.training.export.manifest import describe_file
from worker.training.export.parity import run_exported
from worker.training.export.prediction import predict
from worker.training.export.source import Source, metadata
from worker.training.export.tolerance import allowed, check_parity
from worker.training.models.networks import Student
from worker.training.prepare import INTERPOLATION
from worker.training.run import Run

WEIGHTS_SHARE = 0.02
"""Of the training's time, that writing weights may take: where it takes more, some validations are passed over."""
ONNX_SHARE = 0.1
"""The same for ONNX files, however often somebody asks. The first one is made at once."""
COMPARED_IMAGES = 16
"""A preview's ONNX file must agree with it on these."""
_LOOK_SECONDS = 0.5

log = logging.getLogger(__name__)


@dataclass
class _Taken:
    """A student as it was at its last validation."""

    spec: TrainingSpec
    network: nn.Module
    preprocessing: Preprocessing
    mark: PreviewMark
    onnx: PreviewLine | None = None
    """What was told of its ONNX file."""


class Previews:
    """Of all students of a run; the latest of each."""

    def __init__(
        self, run: Run, images: Images, preprocessing_of: Callable[[TrainingSpec, Student], Preprocessing]
    ) -> None:
        self._run, self._images, self._preprocessing_of = run, images, preprocessing_of
        self._taken: dict[str, _Taken] = {}
        self._next_look = self._next_weights = self._next_onnx = 0.0

    def take(
        self,
        spec: TrainingSpec,
        student: nn.Module,
        step: int,
        steps: int,
        values: Mapping[str, float],
        finish: Callable[[Student], None],
    ) -> None:
        """Write the weights of what would be delivered now.

        Args:
            spec: of this student alone.
            values: of its validation.
            finish: undoes in a student what training alone needed.
        """
        began = time.monotonic()
        if began < self._next_weights:
            return
        student_name = spec.student
        assert isinstance(student, Student) and student_name is not None
        with self._booked(student_name):
            self._take(spec, student, step, steps, values, finish)
        ended = time.monotonic()
        self._next_weights = ended + (ended - began) / WEIGHTS_SHARE

    def _take(
        self,
        spec: TrainingSpec,
        student: Student,
        step: int,
        steps: int,
        values: Mapping[str, float],
        finish: Callable[[Student], None],
    ) -> None:
        assert spec.student is not None
        delivered = copy.deepcopy(student)
        finish(delivered)
        known = {name: values[name] for name in ("val_accuracy", "teacher_agreement") if name in values}
        mark = PreviewMark(student=spec.student, step=step, steps=steps, **known)
        taken = _Taken(spec, delivered.network.eval(), self._preprocessing_of(spec, delivered), mark)
        self._taken = {name: one for name, one in self._taken.items() if name != spec.student} | {spec.student: taken}
        path = self._path(mark, PREVIEW_WEIGHTS)
        self._write(taken, PREVIEW_WEIGHTS, lambda: write_safetensors(taken.network, path, self._told(taken)))

    def answer(self) -> None:
        """Make the ONNX files that somebody has asked for. Called after each step, it looks now and then."""
        began = time.monotonic()
        if began < self._next_look:
            return
        self._next_look = began + _LOOK_SECONDS
        asked = {wanted_student(path.name) for path in self._run.out_dir.glob(wanted_name("*"))}
        ready = [taken for name, taken in self._taken.items() if name in asked]
        if not ready or began < self._next_onnx:
            return
        for taken in ready:
            with self._booked(taken.mark.student):
                self._answer(taken)
        ended = time.monotonic()
        self._next_onnx = ended + (ended - began) / ONNX_SHARE

    @contextmanager
    def _booked(self, student: str) -> Iterator[None]:
        """The seconds of one student's preview."""
        several = self._run.spec.students is not None
        with (
            self._run.reporter.timed("preview"),
            self._run.reporter.timed(f"preview/{student}") if several else nullcontext(),
        ):
            yield

    def _answer(self, taken: _Taken) -> None:
        (self._run.out_dir / wanted_name(taken.mark.student)).unlink(missing_ok=True)
        if taken.onnx is not None:  # whoever was told of it could not keep it
            self._run.reporter.emit(taken.onnx)
            return
        devices = [self._run.device] if self._run.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            taken.onnx = self._write(taken, PREVIEW_ONNX, partial(self._write_onnx, taken))

    def _write(self, taken: _Taken, name: str, write: Callable[[], None]) -> PreviewLine:
        """A preview that cannot be had is told of, and the training goes on without."""
        mark, path = taken.mark, self._path(taken.mark, name)
        file: ArtifactFile | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write()
            file = describe_file(self._run.out_dir, str(path.relative_to(self._run.out_dir)))
        except Exception as error:
            log.warning("a preview cannot be written", exc_info=True)
            path.unlink(missing_ok=True)
            message = f"{name} of {mark.student} at step {mark.step} cannot be written ({type(error).__name__})."
            self._run.reporter.event("preview_failed", message, warning=True)
        line = PreviewLine(mark=mark, name=name, file=file)
        self._run.reporter.emit(line)
        if file is not None:
            self._drop_older(path, name)
        return line

    def _write_onnx(self, taken: _Taken) -> None:
        config = taken.spec.export
        source = Source(taken.network, config, taken.spec.image_size, taken.preprocessing, self._told(taken), None)
        path = self._path(taken.mark, PREVIEW_ONNX)
        ONNX.write(source, path)
        how, squares = taken.preprocessing, self._compared
        expected = predict(source.model, squares, how.mean, how.std, batch_size=BATCH, device="cpu")
        actual = run_exported(ONNX, path, squares, scratch=path.parent)
        bound = allowed(config.max_logit_difference, float(np.abs(expected).max()))
        check_parity(PREVIEW_ONNX, expected, actual, [f"image {row}" for row in range(len(squares))], bound)

    def _told(self, taken: _Taken) -> dict[str, str]:
        told = metadata(self._images.index.classes, taken.preprocessing, taken.spec.fingerprint())
        return told | {PREVIEW_NOTE: taken.mark.model_dump_json()}

    def _path(self, mark: PreviewMark, name: str) -> Path:
        stem, suffix = name.rsplit(".", 1)
        return self._run.out_dir / PREVIEW_FOLDER / mark.student / f"{stem}-{mark.step}.{suffix}"

    @staticmethod
    def _drop_older(newest: Path, name: str) -> None:
        """All but this one and the one before, which may be being copied."""
        stem, suffix = name.rsplit(".", 1)
        files = sorted(newest.parent.glob(f"{stem}-*.{suffix}"), key=lambda path: int(path.stem.rpartition("-")[2]))
        for path in files[:-2]:
            path.unlink(missing_ok=True)

    @cached_property
    def _compared(self) -> npt.NDArray[np.uint8]:
        """Validation images or, without any, training images; never test images."""
        if len(self._images.pools.val):
            return np.asarray(self._images.val_squares[:COMPARED_IMAGES])
        pool, run = Pool(self._images.pools.training.samples[:COMPARED_IMAGES]), self._run
        return decode_squares(
            run.data_dir, pool, run.spec.image_size, INTERPOLATION, run.cache, lambda fraction: None, run.stop_requested
        )[:]
