"""Judges the exported files of one student on real images.

N images, K classes.
"""

import copy
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from app.domain.config import ExportConfig
from app.domain.errors import ExportParityFailed
from app.domain.manifest import Parity, Preprocessing
from worker.training.export.format import BATCH, Format, normalise
from worker.training.export.parity import Judged, answers
from worker.training.export.source import ExportWrapper
from worker.training.export.tolerance import Withheld, allowed, check_parity

EVALUATED = 0.1
"""How far the student that is exported may be from the one that was evaluated, which a GPU may have computed."""


class ExportValidator:
    """Lets a file pass, or says what is wrong with it."""

    def __init__(
        self,
        model: ExportWrapper,
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

    def check(self, chosen: Format, path: Path, scratch: Path) -> Parity:
        """
        Raises:
            ExportParityFailed: the file computes something else than the student.
            Withheld: it is not good enough, and the job succeeds without it.
        """
        try:
            actual_NK, rows = answers(chosen, path, self._judged, scratch)
        except ExportParityFailed as error:
            if chosen.optional:
                raise Withheld(error.detail) from error
            raise
        expected_NK, labels = self._expected_NK[rows], self._judged.labels_N
        truth_N = expected_NK.argmax(1) if labels is None else labels[rows]
        images = [self._judged.paths[row] for row in rows.tolist()]
        asked, largest = chosen.tolerance(self._config), float(np.abs(self._expected_NK).max())
        tolerance = asked.widened(largest)
        try:
            return tolerance.check(path.name, expected_NK, actual_NK, truth_N, images)
        except ExportParityFailed:  # only now is it worth a pass in float64
            wider = asked.widened(largest, self._own_rounding)
            if wider == tolerance:
                raise
            return wider.check(path.name, expected_NK, actual_NK, truth_N, images)

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
