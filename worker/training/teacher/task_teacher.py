"""The teacher of one task: the frozen network's taps, read by the probe and, where there is one, the proxy space.

B batch, N images, W summed tap widths, K classes, D proxy width.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from worker.training.data.records import Records
from worker.training.teacher.features import TeacherTaps
from worker.training.teacher.proxy_space import LinearProbe, ProxyAnswer, Reprogrammer

_AT_ONCE = 1024  # clean images


class TeacherTargets(NamedTuple):
    """What the student should learn of a batch of views; float32 on the run's device."""

    z_BD: Tensor | None
    """Unit vectors in the proxy space, where the method has one."""
    logits_BK: Tensor
    """Of the reprogrammed teacher, else of the probe."""
    taps_BW: Tensor | None
    """The teacher's standardised taps, where the method asks for them."""


@dataclass(frozen=True)
class TaskTeacher:
    """What the teacher knows of the task: the proxy space and, beside it, a plain linear probe."""

    taps: TeacherTaps
    reprogrammer: Reprogrammer | None
    """None for the methods that learn from the probe."""
    probe: LinearProbe

    @property
    def model(self) -> LinearProbe | Reprogrammer:
        """Whoever teaches the student."""
        return self.probe if self.reprogrammer is None else self.reprogrammer

    @torch.no_grad()
    def answer(self, taps_BW: Tensor) -> TeacherTargets:
        """What the student should learn of views with these taps, which lie on the run's device."""
        answer = self.model(taps_BW)
        if isinstance(answer, ProxyAnswer):
            return TeacherTargets(answer.z_BD, answer.logits_BK, None)
        return TeacherTargets(None, answer, None)

    def judged_logits(self) -> tuple[Tensor | None, Tensor]:
        """Logits of reprogrammed teacher and probe on the images of the final evaluation, on the CPU."""
        judged, device = self.taps.judged, self.probe.linear.weight.device
        reprogrammed = None if self.reprogrammer is None else logits_of_clean(self.reprogrammer, judged, device)
        return reprogrammed, logits_of_clean(self.probe, judged, device)


@torch.no_grad()
def logits_of_clean(model: nn.Module, taps: Records, device: torch.device) -> Tensor:
    """Logits [N, K] of a model in eval mode for the taps of clean images, on the CPU."""
    return torch.cat([logits_of(model(torch.from_numpy(piece).to(device))).cpu() for piece in taps.pieces(_AT_ONCE)])


def logits_of(answer: ProxyAnswer | Tensor) -> Tensor:
    return answer.logits_BK if isinstance(answer, ProxyAnswer) else answer
