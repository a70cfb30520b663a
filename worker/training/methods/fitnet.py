"""`fitnet`: each student stage regresses the teacher's tap of its depth (Romero et al., arXiv 1412.6550)."""

from typing import ClassVar

import torch.nn.functional as F
from pydantic import Field, StrictFloat
from torch import nn

from worker.training.methods.kd import READS, KdConfig, KdTask
from worker.training.methods.task import DistillBatch, MethodConfig, Parts, Setting, method
from worker.training.models.networks import StudentAnswer


class FitnetConfig(KdConfig):
    """The own options of `fitnet`."""

    hint_weight: StrictFloat = Field(default=1.0, ge=0, le=1000)
    """Weight of each hint. Standardised taps have a variance of 1, so each hint starts near 1 as well."""


class FitnetTask(KdTask):
    """`kd` + Σ_k MSE(R_k h_k, û_k): each student stage regresses the teacher's tap of its depth.

    Romero et al., arXiv 1412.6550. Published as two phases, hints before KD; here as one, the usual form today. R_k is
    linear on pooled features. Stages are paired from the deep end. A teacher without stages hints with its
    pre-logits vector.
    """

    Config: ClassVar[type[MethodConfig]] = FitnetConfig
    options: FitnetConfig

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._tap_widths = setting.tap_widths
        stages, hints = len(self.student.widths), max(1, len(setting.tap_widths) - 1)
        self._pairs = [(stages - k, hints - k) for k in range(min(stages, hints), 0, -1)]
        self.regressors = nn.ModuleList(
            nn.Linear(self.student.widths[stage], setting.tap_widths[hint]) for stage, hint in self._pairs
        )

    def parts(self, answer: StudentAnswer, batch: DistillBatch, progress: float) -> Parts:
        assert batch.teacher_taps_BW is not None
        taps = batch.teacher_taps_BW.split(self._tap_widths, 1)
        parts = super().parts(answer, batch, progress)
        for (stage, hint), regressor in zip(self._pairs, self.regressors, strict=True):
            hint_loss = F.mse_loss(regressor(answer.stages[stage]).float(), taps[hint])
            parts[f"hint_{stage + 1}"] = self.options.hint_weight, hint_loss
        return parts


METHODS = (
    method(
        FitnetTask,
        "fitnet",
        "`kd`, and each student stage regresses the teacher's tap of its depth.",
        paper="Romero et al., 2015, arXiv 1412.6550",
        needs_taps=True,
        reads=READS,
    ),
)
