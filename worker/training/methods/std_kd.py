"""`std-kd`: KD from standardised logits (Sun et al., arXiv 2403.01427).

B batch, K classes.
"""

from typing import ClassVar

from pydantic import Field, StrictFloat
from torch import Tensor

from worker.training import losses
from worker.training.methods.task import UNLABELLED, DistillBatch, MethodConfig, Parts, StudentTask, method
from worker.training.models.networks import StudentAnswer

_SMALLEST_SPREAD = 1e-7


class StdKdConfig(MethodConfig):
    """The own options of `std-kd`. Weights are those published for KD on CIFAR-100, 9 beside 0.1, scaled to a sum of
    1.1 as the other methods' default weights have: only their ratio is the method's, and the learning rate then means
    the same to all."""

    kd_weight: StrictFloat = Field(default=1.1 * 9 / 9.1, ge=0, le=100)
    """Weight of the KL."""
    label_weight: StrictFloat = Field(default=1.1 * 0.1 / 9.1, ge=0, le=100)
    """Weight of the labels' cross-entropy."""


class StdKdTask(StudentTask):
    """`label_weight` CE + `kd_weight` T² KL(softmax(Z(teacher)/T) ‖ softmax(Z(student)/T)), Z the z-score of an image's
    logits. T is the published base temperature of 2 by default: divided by their own deviation, all logits are as soft.
    """

    Config: ClassVar[type[MethodConfig]] = StdKdConfig
    options: StdKdConfig

    def parts(self, answer: StudentAnswer, batch: DistillBatch, _progress: float) -> Parts:
        assert batch.teacher_logits_BK is not None
        teacher, student = standardised(batch.teacher_logits_BK), standardised(answer.logits)
        return {
            "ce": (self.options.label_weight, self.ce(answer, batch)),
            "kd": (self.options.kd_weight, losses.kd(teacher, student, self.config.temperature)),
        }


def standardised(logits_BK: Tensor) -> Tensor:
    """Each image's logits with a mean of 0 and a deviation of 1 over the classes: only their shape is left to learn."""
    logits = logits_BK.float()
    return (logits - logits.mean(1, keepdim=True)) / (logits.std(1, keepdim=True) + _SMALLEST_SPREAD)


METHODS = (
    method(
        StdKdTask,
        "std-kd",
        "KD from logits standardised per image, so that the student matches their shape and not their scale.",
        paper="Sun et al., 2024, arXiv 2403.01427",
        reads=UNLABELLED | {"temperature"},
    ),
)
