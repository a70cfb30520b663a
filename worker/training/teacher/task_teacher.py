"""The teacher of one task: the frozen network's taps, read by the probe and, where there is one, the proxy space.

Where there are both, the teacher answers with something between them: on 81 kinds of groceries the proxy space has
62 %, the probe 68 %, and what lies between 68 % with a cross-entropy below either's.

B batch, N images, W summed tap widths, K classes, D proxy width.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.training.data.records import Records
from worker.training.teacher.features import TeacherTaps
from worker.training.teacher.proxy_space import LinearProbe, ProxyAnswer, Reprogrammer

UNTOLD_SHARE = 0.25
"""α where no validation image tells which one is better: it gave +5, +0.4 and −1 points on three sets; a half, which
gave +6, −1 and −5, trusts the probe too much."""
_SHARES = 21
"""That are tried, from 0 to 1."""
_AT_ONCE = 1024  # clean images


class TeacherTargets(NamedTuple):
    """What the student should learn of a batch of views; float32 on the run's device."""

    z_BD: Tensor | None
    """Unit vectors in the proxy space, where the method has one."""
    logits_BK: Tensor
    """Of the reprogrammed teacher, else of the probe."""
    taps_BW: Tensor | None
    """The teacher's standardised taps, where the method asks for them."""


class Blend(nn.Module):
    """The proxy space, with logits (1 − α) · its own + α · the probe's."""

    share: Tensor
    """α"""

    def __init__(self, reprogrammer: Reprogrammer, probe: LinearProbe, share: float = UNTOLD_SHARE) -> None:
        super().__init__()
        self.reprogrammer, self.probe = reprogrammer, probe
        self.register_buffer("share", torch.tensor(share, device=probe.linear.weight.device))

    def forward(self, taps_BW: Tensor) -> ProxyAnswer:
        answer = self.reprogrammer(taps_BW)
        return ProxyAnswer(answer.z_BD, torch.lerp(answer.logits_BK, self.probe(taps_BW), self.share))


def blended(reprogrammer: Reprogrammer, probe: LinearProbe, val: Records, labels_N: np.ndarray) -> Blend:
    """With the α of the lowest cross-entropy on the validation images; `UNTOLD_SHARE` where there are none."""
    if not len(labels_N):
        return Blend(reprogrammer, probe)
    own, probes = (logits_of_clean(model, val, probe.linear.weight.device) for model in (reprogrammer, probe))
    return Blend(reprogrammer, probe, best_share(own, probes, torch.from_numpy(labels_N)))


def best_share(one_NK: Tensor, other_NK: Tensor, labels_N: Tensor) -> float:
    """α in [0, 1], so that (1 − α) · one + α · other has the lowest cross-entropy; logits."""
    shares = torch.linspace(0, 1, _SHARES).tolist()
    errors = [float(F.cross_entropy(torch.lerp(one_NK, other_NK, share), labels_N)) for share in shares]
    return shares[int(np.argmin(errors))]


@dataclass(frozen=True)
class TaskTeacher:
    """What the teacher knows of the task: the proxy space and, beside it, a plain linear probe."""

    taps: TeacherTaps
    probe: LinearProbe
    blend: Blend | None = None
    """None for the methods that learn from the probe."""

    @property
    def reprogrammer(self) -> Reprogrammer | None:
        """The proxy space."""
        return None if self.blend is None else self.blend.reprogrammer

    @property
    def model(self) -> LinearProbe | Blend:
        """Whoever teaches the student."""
        return self.probe if self.blend is None else self.blend

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
        reprogrammed = None if self.blend is None else logits_of_clean(self.blend, judged, device)
        return reprogrammed, logits_of_clean(self.probe, judged, device)


@torch.no_grad()
def logits_of_clean(model: nn.Module, taps: Records, device: torch.device) -> Tensor:
    """Logits [N, K] of a model in eval mode for the taps of clean images, on the CPU."""
    return torch.cat([logits_of(model(torch.from_numpy(piece).to(device))).cpu() for piece in taps.pieces(_AT_ONCE)])


def logits_of(answer: ProxyAnswer | Tensor) -> Tensor:
    return answer.logits_BK if isinstance(answer, ProxyAnswer) else answer
