"""`dkd`: KD decoupled into the target class and the others, weighted apart (Zhao et al., arXiv 2203.08679).

B batch, K classes.
"""

from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, StrictFloat
from torch import Tensor

from worker.training.methods.task import UNLABELLED, DistillBatch, MethodConfig, Parts, StudentTask, method
from worker.training.models.networks import StudentAnswer


class DkdConfig(MethodConfig):
    """The own options of `dkd`; the defaults are those published for CIFAR-100."""

    target_weight: StrictFloat = Field(default=1.0, ge=0, le=1000)
    """α, weight of the target class against the rest."""
    others_weight: StrictFloat = Field(default=8.0, ge=0, le=1000)
    """β, weight of the KL among the other classes."""
    kd_warmup: StrictFloat = Field(default=1 / 12, ge=0, lt=1)
    """Fraction of the steps in which both weights rise linearly: 20 of 240 epochs."""


class DkdTask(StudentTask):
    """CE + T² (α TCKD + β NCKD), the second term rising over the warm-up.

    The target class is the label; of an image without one, the teacher's top class.
    """

    Config: ClassVar[type[MethodConfig]] = DkdConfig
    options: DkdConfig

    def parts(self, answer: StudentAnswer, batch: DistillBatch, progress: float) -> Parts:
        teacher = batch.teacher_logits_BK
        assert teacher is not None
        target = torch.where(batch.labels_B >= 0, batch.labels_B, teacher.argmax(1))
        parts = decoupled(teacher, answer.logits, target, self.config.temperature)
        risen = min(1.0, progress / self.options.kd_warmup) if self.options.kd_warmup else 1.0
        scale = risen * self.config.temperature**2
        return {
            "ce": (1.0, self.ce(answer, batch)),
            "target": (self.options.target_weight * scale, parts.target.mean()),
            "others": (self.options.others_weight * scale, parts.others.mean()),
        }


class Decoupled(NamedTuple):
    """The two parts of KL(softmax(teacher/T) ‖ softmax(student/T)), each [B]; with p_t the teacher's probability of
    the target, KL = target + (1 − p_t) · others."""

    target: Tensor
    """KL of the target class against the rest, as a distribution over two."""
    others: Tensor
    """KL among the other classes, each distribution scaled to a sum of 1."""


def decoupled(teacher_logits_BK: Tensor, student_logits_BK: Tensor, target_B: Tensor, temperature: float) -> Decoupled:
    """The decoupling of DKD (Zhao et al., 2022, arXiv 2203.08679): TCKD and NCKD without T² and weights."""
    teacher = _target_and_others(teacher_logits_BK.float() / temperature, target_B)
    student = _target_and_others(student_logits_BK.float() / temperature, target_B)
    return Decoupled(*(_kl(t, s) for t, s in zip(teacher, student, strict=True)))


def _target_and_others(logits_BK: Tensor, target_B: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of (target, rest) [B, 2] and of the K − 1 other classes."""
    classes = logits_BK.shape[1]
    others = (target_B[:, None] + torch.arange(1, classes, device=target_B.device)) % classes
    target_B1, others_BK = logits_BK.gather(1, target_B[:, None]), logits_BK.gather(1, others)
    return torch.cat([target_B1, others_BK.logsumexp(1, keepdim=True)], 1), others_BK


def _kl(teacher_logits_BK: Tensor, student_logits_BK: Tensor) -> Tensor:
    teacher, student = F.log_softmax(teacher_logits_BK, 1), F.log_softmax(student_logits_BK, 1)
    return F.kl_div(student, teacher, reduction="none", log_target=True).sum(1)


METHODS = (
    method(
        DkdTask,
        "dkd",
        "KD decoupled into the target class and the others, weighted apart.",
        paper="Zhao et al., 2022, arXiv 2203.08679",
        reads=UNLABELLED | {"temperature"},
    ),
)
