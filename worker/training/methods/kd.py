"""`kd` and `reprogrammed-kd`: knowledge distillation from the teacher's logits (Hinton et al., arXiv 1503.02531).

B batch, K classes.
"""

from typing import ClassVar

from pydantic import Field, StrictFloat

from worker.training.methods.task import UNLABELLED, DistillBatch, MethodConfig, Parts, StudentTask, method
from worker.training.models.networks import StudentAnswer


class KdConfig(MethodConfig):
    """The own options of KD and of the methods that add losses to it."""

    kd_weight: StrictFloat = Field(default=0.9, ge=0, le=100)
    """Weight of the KL beside the labels' `ce_weight`; that of `tdmr` when static."""


class KdTask(StudentTask):
    """`ce_weight` CE + `kd_weight` T² KL.

    The two methods differ in the teacher's logits alone: the probe's, or the reprogrammed teacher's.
    """

    Config: ClassVar[type[MethodConfig]] = KdConfig
    options: KdConfig

    def parts(self, answer: StudentAnswer, batch: DistillBatch, _progress: float) -> Parts:
        return {
            "ce": (self.config.ce_weight, self.ce(answer, batch)),
            "kd": (self.options.kd_weight, self.kd(answer.logits, batch)),
        }


READS = UNLABELLED | {"temperature", "ce_weight"}

METHODS = (
    method(
        KdTask,
        "kd",
        "A linear probe on the frozen teacher, then KD from the probe's logits.",
        paper="Hinton et al., 2015, arXiv 1503.02531",
        reads=READS,
    ),
    method(
        KdTask,
        "reprogrammed-kd",
        "Reprogram the teacher, then plain KD from its logits: the control for the handover and the optional losses.",
        reprograms=True,
        reads=READS,
    ),
)
