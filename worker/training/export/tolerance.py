"""How far an exported file may be from the trained student, and by what it is judged.

N images, K classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from app.domain.errors import ExportParityFailed
from app.domain.intervals import Z95
from app.domain.manifest import Parity

HINT = "Leave this format out of export.formats, or choose another student."
ORDINARY_LOGIT = 10.0
"""Trained classifiers rarely give more; what `max_logit_difference` is meant for."""
OWN_ROUNDINGS = 4.0
"""Two roundings, the student's and the file's, each drawn twice as unlucky on another order of summation."""

Logits = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


class Withheld(Exception):
    """The file is not fit to be published, and the job succeeds without it. Its message is the reason."""


class Tolerance(Protocol):
    def widened(self, largest_logit: float, own_rounding: float = 0.0) -> "Tolerance":
        """For a student with logits so large, whose float32 logits are so far from its float64 ones."""

    def recorded(self, parity: Parity | None) -> "Tolerance | None":
        """As the manifest has it; None where it does not."""

    def check(
        self, name: str, expected_NK: Logits, actual_NK: Logits, labels_N: Labels, paths: Sequence[str]
    ) -> Parity:
        """
        Raises:
            ExportParityFailed: the file computes something else than the student.
            Withheld: the file is not good enough.
        """


@dataclass(frozen=True)
class LogitTolerance:
    """The file computes the same function: largest |Δlogit|, for logits within ±`ORDINARY_LOGIT`."""

    max_difference: float

    def widened(self, largest_logit: float, own_rounding: float = 0.0) -> "LogitTolerance":
        return LogitTolerance(allowed(self.max_difference, largest_logit, own_rounding))

    def recorded(self, parity: Parity | None) -> "LogitTolerance | None":
        return LogitTolerance(parity.bound) if parity is not None and parity.bound else None

    def check(
        self, name: str, expected_NK: Logits, actual_NK: Logits, labels_N: Labels, paths: Sequence[str]
    ) -> Parity:
        return check_parity(name, expected_NK, actual_NK, paths, self.max_difference)


@dataclass(frozen=True)
class AccuracyTolerance:
    """The file computes another function: the fraction of images that it may answer worse."""

    max_loss: float

    def widened(self, largest_logit: float, own_rounding: float = 0.0) -> "AccuracyTolerance":
        return self

    def recorded(self, parity: Parity | None) -> "AccuracyTolerance | None":
        return None

    def check(
        self, name: str, expected_NK: Logits, actual_NK: Logits, labels_N: Labels, paths: Sequence[str]
    ) -> Parity:
        return check_accuracy(name, expected_NK, actual_NK, labels_N, self.max_loss)


def check_parity(
    name: str,
    expected_NK: npt.NDArray[np.float32],
    actual_NK: npt.NDArray[np.float32],
    paths: Sequence[str],
    max_difference: float,
) -> Parity:
    """Compare an exported file's logits with the student's.

    Another top-1 class is forgiven only where the student itself holds both classes equal within `max_difference`;
    `top1_agreement` counts it all the same.

    Raises:
        ExportParityFailed: naming the file `name` and the first image, by its path, that is off.
    """
    if actual_NK.shape != expected_NK.shape:
        raise ExportParityFailed(f"{name} gives logits {actual_NK.shape}, not {expected_NK.shape}.", hint=HINT)
    parity = measure(expected_NK, actual_NK).model_copy(update={"bound": max_difference})
    rows = np.arange(len(expected_NK))
    top_N, other_N = expected_NK.argmax(1), actual_NK.argmax(1)
    apart_N = expected_NK[rows, top_N] - expected_NK[rows, other_N] > max_difference
    # written so that NaN fails
    off_N = ~(np.abs(actual_NK - expected_NK).max(1) <= max_difference) | apart_N
    if off_N.any():
        first = int(off_N.argmax())
        raise ExportParityFailed(
            f"{name} does not compute what was trained: on {int(off_N.sum())} of {len(off_N)} images its logits differ "
            f"by more than {max_difference:.2g} or its top class is another, first on '{paths[first]}'. Largest "
            f"difference {parity.max_logit_difference:.3g} on logits up to {np.abs(expected_NK).max():.3g}, top-1 "
            f"agreement {parity.top1_agreement:.2%}.",
            hint=HINT,
        )
    return parity


def allowed(max_difference: float, largest_logit: float, own_rounding: float = 0.0) -> float:
    """The bound that a file is held to.

    Beyond ±`ORDINARY_LOGIT` it grows with the logits, as float32's rounding does. And no file can agree better with the
    student than the student with exact arithmetic, so it is never below `OWN_ROUNDINGS` times that distance.
    Measured: a student whose logits reach 69 is 1e-4 from itself between batch sizes, and 1.3e-4 from its ONNX file,
    while the file is closer to the float64 truth. A wrong export is off by far more.
    """
    return max(max_difference * max(1.0, largest_logit / ORDINARY_LOGIT), OWN_ROUNDINGS * own_rounding)


def measure(expected_NK: npt.NDArray[np.float32], actual_NK: npt.NDArray[np.float32]) -> Parity:
    """Agreement and largest |Δlogit| of two sets of logits [N, K] on the same images. Not a number counts as 3.4e38,
    which JSON can carry."""
    largest = float(np.finfo(np.float32).max)
    difference_NK = np.nan_to_num(np.abs(actual_NK - expected_NK), nan=largest, posinf=largest)
    return Parity(
        images=len(expected_NK),
        top1_agreement=float((expected_NK.argmax(1) == actual_NK.argmax(1)).mean()),
        max_logit_difference=float(difference_NK.max()),
    )


def check_accuracy(
    name: str,
    expected_NK: npt.NDArray[np.float32],
    actual_NK: npt.NDArray[np.float32],
    labels_N: npt.NDArray[np.int64],
    max_loss: float,
) -> Parity:
    """Compare how many images two sets of logits answer rightly.

    Raises:
        Withheld: the file loses more than `max_loss` of the images, and more than one of them.
    """
    if actual_NK.shape != expected_NK.shape or not np.isfinite(actual_NK).all():
        raise Withheld(f"{name} does not give a number for every class of every image.")
    loss, interval = accuracy_loss(expected_NK.argmax(1) == labels_N, actual_NK.argmax(1) == labels_N)
    count = len(labels_N)
    if round(loss * count) > max(1, math.floor(max_loss * count + 1e-9)):
        raise Withheld(
            f"{name} loses {loss:.2%} of accuracy on {count:,} images (95 % interval {interval[0]:.2%} to "
            f"{interval[1]:.2%}), more than the {max_loss:.2%} of export.max_accuracy_loss."
        )
    return measure(expected_NK, actual_NK).model_copy(
        update={"accuracy_loss": loss, "accuracy_loss_interval": interval, "accuracy_loss_bound": max_loss}
    )


def accuracy_loss(before_N: npt.NDArray[np.bool_], after_N: npt.NDArray[np.bool_]) -> tuple[float, tuple[float, float]]:
    """How much less often `after_N` is right than `before_N`, on the same images, and its 95 % interval.

    The images that both answer alike say nothing of the difference, so the interval is that of paired proportions:
    Wald's with half an image added to each cell of the table (Agresti and Min, 2005).
    """
    count = len(before_N)
    lost, won = int((before_N & ~after_N).sum()), int((~before_N & after_N).sum())
    middle = (lost - won) / (count + 2)
    spread = math.sqrt(max(lost + won + 1 - (lost - won) ** 2 / (count + 2), 0.0)) / (count + 2)
    interval = (max(-1.0, middle - Z95 * spread), min(1.0, middle + Z95 * spread))
    return (lost - won) / count, interval
