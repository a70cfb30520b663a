"""Judges the exported files of one student, each in a fresh process, on real images.

N images, K classes, S the student's side.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from app.domain.errors import ExportParityFailed
from app.domain.knobs import ExportConfig, ExportFormat
from app.domain.manifest import Parity, Preprocessing
from worker.training.export import pixels
from worker.training.export.accuracy import Withheld, check_accuracy
from worker.training.export.deployable import Deployable
from worker.training.export.inputs import BATCH, normalise
from worker.training.export.parity import Originals, allowed, check_parity, run_exported

COMPARED_SQUARES = 32
"""So many image files are prepared anew for each export: another size, crop or filter shows on the first of them."""
PICTURES = 512
"""Files that `onnx_pixels` is tried on: its resizing, unlike a network's logits, must be seen at many shapes, and a
picture may take seconds to decode."""
EVALUATED = 0.1
"""How far the student that is exported may be from the one that was evaluated, which a GPU may have computed."""


@dataclass(frozen=True)
class Judged:
    """The images of the evaluation."""

    squares_NHWC: npt.NDArray[np.uint8]
    """[N, S, S, 3], already resized and cropped; at least one. May be memory-mapped."""
    paths: Sequence[str]
    """[N], how an image is called in an error."""
    folder: Path | None = None
    """Where `paths` are image files. None: there are none, and the squares are all that is known."""
    labels_N: npt.NDArray[np.int64] | None = None
    """None: the student's own answers are taken for the truth."""

    def originals(self, rows: Sequence[int]) -> Originals | None:
        """Of these rows, numbered anew from 0."""
        if self.folder is None:
            return None
        return Originals(self.folder, {place: self.paths[row] for place, row in enumerate(rows)})


def answers(
    chosen: ExportFormat, path: Path, judged: Judged, scratch: Path | None = None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Run a file as its users will. Returns its logits [M, K] and the rows [M] of the images that it was tried on.

    Raises:
        ExportParityFailed: it cannot be run, or tells of another preprocessing than the squares had.
    """
    count = len(judged.paths)
    if chosen is ExportFormat.ONNX_PIXELS:
        rows = spread(count, PICTURES)
        return run_exported(
            path, judged.squares_NHWC[rows], originals=judged.originals(rows.tolist()), scratch=scratch
        ), rows
    some = spread(count, COMPARED_SQUARES)
    originals = (
        None if judged.folder is None else Originals(judged.folder, {row: judged.paths[row] for row in some.tolist()})
    )
    return run_exported(path, judged.squares_NHWC, originals=originals, scratch=scratch), np.arange(count)


def spread(count: int, most: int) -> npt.NDArray[np.int64]:
    """At most so many of `count` rows, evenly over all."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


class Gate:
    """Lets a file pass, or says what is wrong with it."""

    def __init__(
        self,
        model: Deployable,
        expected_NK: npt.NDArray[np.float32],
        judged: Judged,
        preprocessing: Preprocessing,
        config: ExportConfig,
    ) -> None:
        self._model, self._expected_NK = model, expected_NK
        self._judged, self._preprocessing = judged, preprocessing
        self._config = config

    def check_source(self, evaluated_NK: npt.NDArray[np.float32]) -> None:
        """What is exported, with the preprocessing that is told, must answer as the evaluation's student did.

        Raises:
            ExportParityFailed
        """
        bound = allowed(EVALUATED, float(np.abs(self._expected_NK).max()))
        check_parity("The student as exported", evaluated_NK, self._expected_NK, self._judged.paths, bound)

    def check(self, chosen: ExportFormat, path: Path, scratch: Path) -> Parity:
        """
        Raises:
            ExportParityFailed: the file computes something else than the student.
            Withheld: it is a quantised one, and not good enough.
        """
        try:
            actual_NK, rows = answers(chosen, path, self._judged, scratch)
        except ExportParityFailed as error:
            if chosen is ExportFormat.ONNX_INT8:
                raise Withheld(error.detail) from error
            raise
        expected_NK = self._expected_NK[rows]
        if chosen is ExportFormat.ONNX_INT8:
            labels = self._judged.labels_N
            truth_N = expected_NK.argmax(1) if labels is None else labels
            return check_accuracy(path.name, expected_NK, actual_NK, truth_N, self._config.max_accuracy_loss)
        return self._compare(path.name, expected_NK, actual_NK, rows, bound_of(chosen, self._config))

    def _compare(
        self,
        name: str,
        expected_NK: npt.NDArray[np.float32],
        actual_NK: npt.NDArray[np.float32],
        rows: npt.NDArray[np.int64],
        max_difference: float,
    ) -> Parity:
        paths = [self._judged.paths[row] for row in rows.tolist()]
        largest = float(np.abs(self._expected_NK).max())
        try:
            bound = allowed(max_difference, largest)
            return check_parity(name, expected_NK, actual_NK, paths, bound)
        except ExportParityFailed:  # only now is it worth a pass in float64
            wider = allowed(max_difference, largest, self._own_rounding)
            if wider <= bound:
                raise
            return check_parity(name, expected_NK, actual_NK, paths, wider)

    @cached_property
    def _own_rounding(self) -> float:
        """How far the student's float32 logits are from its float64 ones; 0 where it cannot run in float64."""
        exact = copy.deepcopy(self._model).double()
        squares, distance = self._judged.squares_NHWC, 0.0
        try:
            with torch.inference_mode():
                for start in range(0, len(squares), BATCH):
                    rows = slice(start, start + BATCH)
                    images = normalise(squares[rows], self._preprocessing.mean, self._preprocessing.std)
                    exact_NK = exact(torch.from_numpy(images).double()).numpy()
                    distance = max(distance, float(np.abs(exact_NK - self._expected_NK[rows]).max()))
        except RuntimeError:  # a network that insists on float32 inside
            return 0.0
        return distance


def bound_of(chosen: ExportFormat, config: ExportConfig) -> float:
    """Largest |Δlogit| for ordinary logits."""
    if chosen is ExportFormat.ONNX_FP16:
        return config.max_logit_difference_fp16
    if chosen is ExportFormat.ONNX_PIXELS:
        return max(config.max_logit_difference, pixels.MAX_LOGIT_DIFFERENCE)
    return config.max_logit_difference
