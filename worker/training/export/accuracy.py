"""What quantising cost: the one question for a file that is not meant to compute the same logits.

N images, K classes.
"""

import math

import numpy as np
import numpy.typing as npt

from app.domain.manifest import Parity
from worker.training.export.parity import measure

_Z95 = 1.959963984540054


class Withheld(Exception):
    """The file is not fit to be published, and the job is none the worse for it. Its message is the reason."""


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
    interval = (max(-1.0, middle - _Z95 * spread), min(1.0, middle + _Z95 * spread))
    return (lost - won) / count, interval
