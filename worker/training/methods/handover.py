"""Handover: once the student has passed its teacher, the labels lead.

τ in [0, 1) is stage 2's progress.
"""

import math
from typing import Any

from torch import nn

from worker.training.engine.prefetch import DEPTH

LABEL_SHARE = 0.75
"""Of a batch that is labelled in the end."""
KD_WEIGHT, CE_WEIGHT = 0.3, 1.0
"""Where KD's weight falls to and the labels' rises to."""
_SPAN = 0.4
"""Of the stage: how long the lead takes to change hands."""


class Handover(nn.Module):
    """How far the lead has gone to the labels: 0 until the student has passed its teacher, then rising to 1.

    A teacher that knows less than its student holds it back. On hand signs, 20 labels per class, the student had 90 and
    94 % by a weaker and a stronger teacher without a handover, 93 and 94 % with one, and 95 % by labels alone.

    The moment is part of a checkpoint: batches and losses depend on it. It holds from `DEPTH` steps later on, as the
    batches until then have been made already.
    """

    def __init__(self, teacher_ce: float, steps: int) -> None:
        """
        Args:
            teacher_ce: the teacher's cross-entropy on the validation images.
            steps: of the stage.
        """
        super().__init__()
        self.teacher_ce = teacher_ce
        self.steps = steps
        self.begun = math.inf
        """τ at which the lead begins to change hands."""

    def at(self, progress: float) -> float:
        """The fraction of the lead that the labels have at τ = `progress`."""
        return min(1.0, max(0.0, (progress - self.begun) / _SPAN))

    def notice(self, steps_done: int, student_ce: float) -> bool:
        """Hear the averaged student's cross-entropy on the validation images. Returns whether it begins with that."""
        if self.begun != math.inf or student_ce >= self.teacher_ce:
            return False
        self.begun = (steps_done + DEPTH) / self.steps
        return True

    def get_extra_state(self) -> dict[str, Any]:
        return {"begun": self.begun}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.begun = state["begun"]
