"""Handover: once the student has passed its teacher, the labels lead.

N validation images, B batch, C channels, K classes; τ in [0, 1) is stage 2's progress.
"""

import math
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.training.engine.prefetch import DEPTH
from worker.training.models.networks import Student
from worker.training.teacher.task_teacher import best_share

LABEL_SHARE = 0.75
"""Of a batch that is labelled in the end."""
KD_WEIGHT, CE_WEIGHT = 0.3, 1.0
"""Where KD's weight falls to and the labels' rises to."""
_SPAN = 0.4
"""Of the stage: how long the lead takes to change hands."""


class Handover(nn.Module):
    """How far the lead has gone from the teacher to the labels, and to what the student says itself.

    A teacher that knows less than its student holds it back. On hand signs, 20 labels per class, the student had 90 and
    94 % by a weaker and a stronger teacher without a handover, 93 and 94 % with one, and 95 % by labels alone.

    Two things change at the moment at which the student has passed its teacher. The labels begin to lead, from `DEPTH`
    steps later on, as the batches until then have been made already. And what is to be learned of each view becomes
    `(1 − α) · the teacher's logits + α · the averaged student's`, with the α that was best on the validation images at
    the last look: 1 where the teacher has nothing left to add (then it is Tarvainen & Valpola, 2017, arXiv 1703.01780).

    Both are part of a checkpoint: batches and losses depend on them.
    """

    def __init__(self, teacher_NK: Tensor, labels_N: Tensor, steps: int) -> None:
        """
        Args:
            teacher_NK: the teacher's logits for the validation images.
            labels_N: theirs.
            steps: of the stage.
        """
        super().__init__()
        self._teacher_NK, self._labels_N = teacher_NK, labels_N
        self._averaged: list[nn.Module] = []  # a list: its weights are neither trained nor in the checkpoint
        self.teacher_ce = float(F.cross_entropy(teacher_NK, labels_N))
        self.steps = steps
        self.begun = math.inf
        """τ at which the lead begins to change hands."""
        self.own_share = 0.0
        """α"""

    def at(self, progress: float) -> float:
        """The fraction of the lead that the labels have at τ = `progress`."""
        return min(1.0, max(0.0, (progress - self.begun) / _SPAN))

    def follow(self, averaged: nn.Module) -> None:
        """Learn who the averaged student is."""
        self._averaged = [averaged]

    def notice(self, steps_done: int, student_NK: Tensor) -> bool:
        """Hear the averaged student's logits for the validation images. Returns whether it begins with that."""
        begins = self.begun == math.inf and float(F.cross_entropy(student_NK, self._labels_N)) < self.teacher_ce
        if begins:
            self.begun = (steps_done + DEPTH) / self.steps
        if self.begun != math.inf:
            self.own_share = best_share(self._teacher_NK, student_NK, self._labels_N)
        return begins

    @torch.no_grad()
    def answers(self, images_BCHW: Tensor, teacher_BK: Tensor) -> Tensor:
        """What is to be learned of these views, float32 [B, K]: between the teacher and the student itself."""
        if not self.own_share or not self._averaged:
            return teacher_BK
        (averaged,) = self._averaged
        return torch.lerp(
            teacher_BK.float(), cast(Student, averaged).answer(images_BCHW).logits.float(), self.own_share
        )

    def get_extra_state(self) -> dict[str, Any]:
        return {"begun": self.begun, "own_share": self.own_share}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.begun = state["begun"]
        self.own_share = state.get("own_share", 0.0)  # a checkpoint of an earlier version has none
