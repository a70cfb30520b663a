"""The methods TDMR must beat, in the same loop with the same budget, batches and initial student.

B batch, C and W widths of features, K classes.

Losses and their weights are the published ones, but for what is said here. Each learns from the linear probe's logits
on the frozen teacher, and where it needs features from the teacher's standardised taps (`reprogram.Standardise`).
"""

import copy
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.domain.errors import InvalidSpec
from worker.training import losses
from worker.training.distill import DistillBatch, Parts, Setting, StudentTask
from worker.training.models import Student, StudentAnswer

_KD = 0.9
"""Weights of KD and of the labels, alone or with a method's own losses beside them: those of TDMR when static."""


class LabelsTask(StudentTask):
    """`scratch` and `finetune`: cross-entropy on the labels. They differ in the student's initial weights alone."""

    def parts(self, answer: StudentAnswer, batch: DistillBatch, _progress: float) -> Parts:
        return {"ce": (1.0, self.ce(answer, batch))}


class KdTask(StudentTask):
    """`kd` and `reprogrammed-kd`: 0.2 CE + 0.9 KD by default (Hinton et al., arXiv 1503.02531).

    They differ in the teacher's logits alone: the probe's, or the reprogrammed teacher's.
    """

    def parts(self, answer: StudentAnswer, batch: DistillBatch, _progress: float) -> Parts:
        return {"ce": (self.config.ce_weight, self.ce(answer, batch)), "kd": (_KD, self.kd(answer.logits, batch))}


class FitnetTask(KdTask):
    """`kd` + Σ_k MSE(R_k h_k, û_k): each student stage regresses the teacher's tap of its depth.

    Romero et al., arXiv 1412.6550. Published as two phases, hints before KD; here as one, the usual form today. R_k is
    linear on pooled features, and each hint weighs 1: standardised taps have a variance of 1, so each starts near 1 as
    well. Stages are paired from the deep end. A teacher without stages hints with its pre-logits vector.
    """

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
            parts[f"hint_{stage + 1}"] = 1.0, F.mse_loss(regressor(answer.stages[stage]).float(), taps[hint])
        return parts


class RkdTask(KdTask):
    """`kd` + 25 · distances + 50 · angles between the images of a batch (Park et al., arXiv 1904.05068).

    Compared in the student's pre-logits space and in the teacher's standardised one, so their widths may differ.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._width = setting.tap_widths[-1]

    def parts(self, answer: StudentAnswer, batch: DistillBatch, progress: float) -> Parts:
        teacher = _pre_logits_tap(batch, self._width)
        return super().parts(answer, batch, progress) | {
            "distance": (25.0, losses.relative_distances(answer.pre_logits, teacher)),
            "angle": (50.0, losses.angles(answer.pre_logits, teacher)),
        }


class DkdTask(StudentTask):
    """CE + T² (TCKD + 8 NCKD), the second term rising over the first twelfth (Zhao et al., arXiv 2203.08679).

    α = 1, β = 8 and the warm-up (20 of 240 epochs) are those published for CIFAR-100; T is the job's. The target class
    is the label; of an image without one, the teacher's top class.
    """

    def parts(self, answer: StudentAnswer, batch: DistillBatch, progress: float) -> Parts:
        teacher = batch.teacher_logits_BK
        assert teacher is not None
        target = torch.where(batch.labels_B >= 0, batch.labels_B, teacher.argmax(1))
        decoupled = losses.decoupled(teacher, answer.logits, target, self.config.temperature)
        rising = min(1.0, 12 * progress) * self.config.temperature**2
        return {
            "ce": (1.0, self.ce(answer, batch)),
            "target": (1.0 * rising, decoupled.target.mean()),
            "others": (8.0 * rising, decoupled.others.mean()),
        }


class DistTask(StudentTask):
    """CE + T² (inter + intra): correlations instead of KL (Huang et al., arXiv 2205.10536).

    β = γ = 1 are those published for ImageNet; T is the job's. Inter: an image's probabilities over the classes. Intra:
    a class's probabilities over the images of the batch.
    """

    def parts(self, answer: StudentAnswer, batch: DistillBatch, _progress: float) -> Parts:
        assert batch.teacher_logits_BK is not None
        temperature = self.config.temperature
        student, teacher = (F.softmax(x.float() / temperature, 1) for x in (answer.logits, batch.teacher_logits_BK))
        return {
            "ce": (1.0, self.ce(answer, batch)),
            "inter": (temperature**2, losses.correlation_distance(student, teacher)),
            "intra": (temperature**2, losses.correlation_distance(student.T, teacher.T)),
        }


class SimkdTask(StudentTask):
    """MSE(projector(h), û): the student learns the teacher's features and takes over its classifier.

    Chen et al., arXiv 2203.14001. h is the student's pre-logits vector, û the teacher's standardised one, and the
    classifier is the frozen probe. The published projector is convolutional. Ours is linear, so that it and the probe
    fold into one Linear without a rest: the student stays the plain network the user asked for. While training the two
    stand in the network in place of its own classifier, so that the averaged weights and every evaluation see what will
    be delivered.

    Raises:
        InvalidSpec: the student's classifier is not a single Linear.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        assert setting.probe is not None
        classifier = _classifier(self.student.network)
        if not isinstance(classifier, nn.Linear) or classifier.bias is None:
            raise InvalidSpec(
                f"'simkd' needs a student that ends in one linear layer, and '{self.student.architecture}' does not.",
                hint="Choose another student, resnet18 for example, or another method.",
                param="student",
            )
        self._width = setting.tap_widths[-1]
        _replace_classifier(self.student.network, BorrowedClassifier(classifier.in_features, setting.probe.linear))

    def parts(self, answer: StudentAnswer, batch: DistillBatch, _progress: float) -> Parts:
        projected = _classifier(self.student.network).projector(answer.pre_logits)
        return {"feature": (1.0, F.mse_loss(projected.float(), _pre_logits_tap(batch, self._width)))}

    def finish(self, delivered: Student) -> None:
        _replace_classifier(delivered.network, _classifier(delivered.network).folded())


class BorrowedClassifier(nn.Module):
    """probe(projector(h)): from the student's pre-logits into the teacher's, and on with the teacher's frozen probe."""

    def __init__(self, width: int, probe: nn.Linear) -> None:
        super().__init__()
        self.projector = nn.Linear(width, probe.in_features, device=probe.weight.device)
        self.probe = copy.deepcopy(probe)

    def forward(self, pre_logits_BC: Tensor) -> Tensor:
        return self.probe(self.projector(pre_logits_BC))

    @torch.no_grad()
    def folded(self) -> nn.Linear:
        """Both layers as one, multiplied in float64."""
        weight, bias = (x.double() for x in (self.probe.weight, self.probe.bias))
        one = nn.Linear(self.projector.in_features, self.probe.out_features, device=weight.device)
        one.weight.copy_(weight @ self.projector.weight.double())
        one.bias.copy_(weight @ self.projector.bias.double() + bias)
        return one


def _classifier(network: nn.Module) -> Any:
    """timm's own name for it, which `nn.Module` does not declare."""
    return cast(Any, network).get_classifier()


def _replace_classifier(network: nn.Module, new: nn.Module) -> None:
    old = _classifier(network)
    name = next(name for name, module in network.named_modules() if module is old)
    network.set_submodule(name, new.train(old.training))


def _pre_logits_tap(batch: DistillBatch, width: int) -> Tensor:
    assert batch.teacher_taps_BW is not None
    return batch.teacher_taps_BW[:, -width:]
