"""`dist`: KD by correlation between and within classes instead of KL (Huang et al., arXiv 2205.10536).

B batch, K classes.
"""

from typing import ClassVar

import torch.nn.functional as F
from pydantic import Field, StrictFloat
from torch import Tensor

from worker.training import losses
from worker.training.methods.task import UNLABELLED, DistillBatch, MethodConfig, Parts, StudentTask, method
from worker.training.models.networks import StudentAnswer


class DistConfig(MethodConfig):
    """The own options of `dist`; the defaults are those published for ImageNet."""

    inter_weight: StrictFloat = Field(default=1.0, ge=0, le=1000)
    """β, weight of the correlation over an image's classes."""
    intra_weight: StrictFloat = Field(default=1.0, ge=0, le=1000)
    """γ, weight of the correlation over a class's images."""


class DistTask(StudentTask):
    """CE + T² (β inter + γ intra): correlations instead of KL.

    Inter: an image's probabilities over the classes. Intra: a class's probabilities over the images of the batch.
    """

    Config: ClassVar[type[MethodConfig]] = DistConfig
    options: DistConfig

    def parts(self, answer: StudentAnswer, batch: DistillBatch, _progress: float) -> Parts:
        assert batch.teacher_logits_BK is not None
        temperature = self.config.temperature
        student, teacher = (F.softmax(x.float() / temperature, 1) for x in (answer.logits, batch.teacher_logits_BK))
        return {
            "ce": (1.0, self.ce(answer, batch)),
            "inter": (self.options.inter_weight * temperature**2, correlation_distance(student, teacher)),
            "intra": (self.options.intra_weight * temperature**2, correlation_distance(student.T, teacher.T)),
        }


def correlation_distance(a_BK: Tensor, b_BK: Tensor) -> Tensor:
    """1 − Pearson's correlation of the rows, mean over the rows; scale and offset of a row do not matter."""
    a, b = a_BK.float(), b_BK.float()
    return losses.cosine_distance(a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True))


METHODS = (
    method(
        DistTask,
        "dist",
        "KD by correlation between and within classes instead of KL.",
        paper="Huang et al., 2022, arXiv 2205.10536",
        reads=UNLABELLED | {"temperature"},
    ),
)
