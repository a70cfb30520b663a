"""What every method of stage 2 shares: the batch, the setting, and the task that a method fills in.

B batch, C channels, H W pixels, K classes, D proxy width, W summed tap widths.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from pydantic import ConfigDict
from torch import Tensor, nn

from app.domain.base import Frozen
from app.domain.methods import MethodInfo
from app.domain.spec import TrainingSpec
from worker.training import losses
from worker.training.data.views import jitter
from worker.training.engine.loop import StepOutput
from worker.training.methods.handover import Handover
from worker.training.models.networks import Student, StudentAnswer
from worker.training.teacher.proxy_space import LinearProbe
from worker.training.teacher.task_teacher import ProxySpace


class DistillBatch(NamedTuple):
    """One step's images, and the teacher's answers to the same views."""

    images_BCHW: Tensor
    """The shared crop and flip, in [0, 1]."""
    numbers_BN: Tensor
    """Uniform numbers for what the student alone sees changed: the first three for its photometric jitter."""
    labels_B: Tensor
    """−1 where there is none."""
    teacher_z_BD: Tensor | None
    teacher_logits_BK: Tensor | None
    """Of the reprogrammed teacher, or of the linear probe where the method has no proxy space."""
    teacher_taps_BW: Tensor | None = None
    """The teacher's standardised taps side by side, float32; given where `MethodInfo.needs_taps` says so."""


Parts = dict[str, tuple[float, Tensor]]
"""Losses by name, each with its weight."""


@dataclass(frozen=True)
class Setting:
    """All that a method may learn with; each takes what it needs."""

    spec: TrainingSpec
    student: Student
    proxy_space: ProxySpace | None = None
    """None where the method does not reprogram."""
    probe: LinearProbe | None = None
    tap_widths: tuple[int, ...] = ()
    """The teacher's stages, shallow to deep, then its pre-logits vector."""
    class_weights_K: Tensor | None = None
    """Multiply the cross-entropy of each class's images."""
    handover: Handover | None = None
    """Where the labels may take the lead from the teacher."""


class MethodConfig(Frozen):
    """A method's own options, beside those of `DistillConfig`. A subclass declares them: typed, bounded, explained."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class StudentTask(nn.Module):
    """One method of stage 2: a batch in, named losses out. A subclass says which losses, in `parts`."""

    Config: ClassVar[type[MethodConfig]] = MethodConfig
    options: MethodConfig
    class_weights_K: Tensor | None

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.student = setting.student
        self.config = setting.spec.distill
        self.options = self.Config.model_validate(setting.spec.distill.own)
        self.jitter_strength = setting.spec.views.jitter
        self.register_buffer("class_weights_K", setting.class_weights_K, persistent=False)

    def parts(self, answer: StudentAnswer, batch: DistillBatch, progress: float) -> Parts:
        raise NotImplementedError

    def finish(self, delivered: Student) -> None:
        """Called once on what `fit` returns: undo what training alone needed. Most methods leave nothing behind."""

    def forward(self, batch: DistillBatch, progress: float) -> StepOutput:
        answer = self.student.answer(jitter(batch.images_BCHW, self.jitter_strength, batch.numbers_BN))
        parts = self.parts(answer, batch, progress)
        loss = sum((w * part for w, part in parts.values()), start=torch.zeros((), device=answer.logits.device))
        return StepOutput(loss, {name: part.detach() for name, (_, part) in parts.items()})

    def ce(self, answer: StudentAnswer, batch: DistillBatch) -> Tensor:
        return losses.labelled_cross_entropy(answer.logits, batch.labels_B, self.class_weights_K)

    def kd(self, logits_BK: Tensor, batch: DistillBatch) -> Tensor:
        """KD of these logits from the teacher's."""
        assert batch.teacher_logits_BK is not None
        return losses.kd(batch.teacher_logits_BK, logits_BK, self.config.temperature)


UNLABELLED = frozenset({"use_unlabelled", "label_share"})
"""Read by every method that learns from images without a label: from a teacher's answers, or from its own."""


@dataclass(frozen=True)
class Method:
    """What a method's module declares, in its `METHODS`; `registry` finds it there."""

    info: MethodInfo
    task: type[StudentTask] | None
    """None where no student is trained."""


def method(
    task: type[StudentTask] | None, name: str, summary: str, *, reads: Iterable[str] = (), **needs: bool | str
) -> Method:
    """A method, its own options taken from the task's config.

    Args:
        reads, needs: as in `MethodInfo`.
    """
    options = {} if task is None else task.Config.model_json_schema().get("properties", {})
    facts = {"name": name, "summary": summary, "reads": sorted(reads), "options": options, **needs}
    return Method(MethodInfo.model_validate(facts), task)


def pre_logits_tap(batch: DistillBatch, width: int) -> Tensor:
    """The last `width` columns of the teacher's taps: its standardised pre-logits vector."""
    assert batch.teacher_taps_BW is not None
    return batch.teacher_taps_BW[:, -width:]
