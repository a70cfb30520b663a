"""The teacher of one task: the frozen network's taps, read by the probe and, where there is one, the proxy space.

Where there are both, the teacher answers with something between them: on 81 kinds of groceries the proxy space has
62 %, the probe 68 %, and what lies between 68 % with a cross-entropy below either's. Several teachers are one with the
taps of all: each is read alone, all are read together, and the teacher answers with something between all of these.

B batch, N images, M blends, W summed tap widths, K classes, D proxy width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.training.data.side_by_side import Readable
from worker.training.teacher.features import TeacherTaps
from worker.training.teacher.proxy_space import LinearProbe, ProxyAnswer, Reprogrammer

UNTOLD_SHARE = 0.25
"""α where no validation image tells which one is better: it gave +5, +0.4 and −1 points on three sets; a half, which
gave +6, −1 and −5, trusts the probe too much."""
_SHARES = 21
"""That are tried, from 0 to 1."""
LEAST_SHARE = 0.02
"""Of several blends, one that would say less says nothing."""
_STEPS, _RATE = 300, 0.1
"""Of the descent that finds the shares of several."""
_AT_ONCE = 1024  # clean images


class TeacherTargets(NamedTuple):
    """What the student should learn of a batch of views; float32 on the run's device."""

    z_BD: Tensor | None
    """Unit vectors in the proxy space, where the method has one."""
    logits_BK: Tensor
    """Of the reprogrammed teacher, else of the probe."""
    taps_BW: Tensor | None
    """The teacher's standardised taps, where the method asks for them."""


class ProxySpace(Protocol):
    """Where a student's projections lie beside its teacher's answers."""

    @property
    def width(self) -> int:
        """D"""

    def read(self, z_BD: Tensor) -> Tensor:
        """Logits [B, K] of points in the space."""


class Blend(nn.Module):
    """The proxy space, with logits (1 − α) · its own + α · the probe's."""

    share: Tensor
    """α"""

    def __init__(self, reprogrammer: Reprogrammer, probe: LinearProbe, share: float = UNTOLD_SHARE) -> None:
        super().__init__()
        self.reprogrammer, self.probe = reprogrammer, probe
        self.register_buffer("share", torch.tensor(share, device=probe.linear.weight.device))

    @property
    def width(self) -> int:
        return self.reprogrammer.width

    def read(self, z_BD: Tensor) -> Tensor:
        return self.reprogrammer.read(z_BD)

    def forward(self, taps_BW: Tensor) -> ProxyAnswer:
        answer = self.reprogrammer(taps_BW)
        return ProxyAnswer(answer.z_BD, torch.lerp(answer.logits_BK, self.probe(taps_BW), self.share))


class Ensemble(nn.Module):
    """Blends that each read their own columns of the taps: z = [√s_1 z_1, …, √s_M z_M], logits = Σ s_m logits_m.

    With Σ s_m = 1 the proxy spaces side by side are one: z is a unit vector in it.
    """

    shares: Tensor
    """s"""

    def __init__(self, blends: Sequence[Blend], columns: Sequence[slice], shares: Sequence[float]) -> None:
        super().__init__()
        self.blends, self.columns = nn.ModuleList(blends), columns
        device = blends[0].share.device
        self.register_buffer("shares", torch.tensor(shares, dtype=torch.float32, device=device))
        heard = zip(blends, columns, shares, strict=True)
        self._heard = [(blend, where, share) for blend, where, share in heard if share]

    @property
    def width(self) -> int:
        return sum(blend.width for blend, _, _ in self._heard)

    def read(self, z_BD: Tensor) -> Tensor:
        parts = z_BD.split([blend.width for blend, _, _ in self._heard], 1)
        return torch.stack(
            [share**0.5 * blend.read(z) for (blend, _, share), z in zip(self._heard, parts, strict=True)]
        ).sum(0)

    def forward(self, taps_BW: Tensor) -> ProxyAnswer:
        answers = [(blend(taps_BW[:, where]), share) for blend, where, share in self._heard]
        return ProxyAnswer(
            torch.cat([share**0.5 * answer.z_BD for answer, share in answers], 1),
            torch.stack([share * answer.logits_BK for answer, share in answers]).sum(0),
        )


def blended(reprogrammer: Reprogrammer, probe: LinearProbe, val: Readable, labels_N: np.ndarray) -> Blend:
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


def best_shares(voices: Sequence[Tensor], labels_N: Tensor) -> list[float]:
    """s with the lowest cross-entropy of Σ s_m logits_m, each [N, K]. It is convex in s: descent finds it. Shares below
    `LEAST_SHARE` are given to the others."""
    stacked_MNK = torch.stack(list(voices))
    logarithms_M = torch.zeros(len(stacked_MNK), requires_grad=True)
    optimiser = torch.optim.Adam([logarithms_M], lr=_RATE)
    for _ in range(_STEPS):
        optimiser.zero_grad()
        loss = F.cross_entropy(torch.einsum("m,mnk->nk", logarithms_M.softmax(0), stacked_MNK), labels_N)
        torch.autograd.backward(loss)
        optimiser.step()
    shares = logarithms_M.detach().double().softmax(0)
    shares = torch.where(shares < LEAST_SHARE, 0.0, shares)
    return (shares / shares.sum()).tolist()


@dataclass(frozen=True)
class TaskTeacher:
    """What the teacher knows of the task: the proxy space and, beside it, a plain linear probe."""

    taps: TeacherTaps
    probe: LinearProbe
    blend: Blend | Ensemble | None = None
    """None for the methods that learn from the probe."""

    @property
    def model(self) -> LinearProbe | Blend | Ensemble:
        """Whoever teaches the student."""
        return self.probe if self.blend is None else self.blend

    @property
    def shares(self) -> dict[str, float]:
        """How much each of several teachers says by itself, by its name; what is left is said of all their features
        together. Empty where there is one teacher, or a probe that reads all."""
        if not isinstance(self.blend, Ensemble):
            return {}
        names = [source.teacher.name for source in self.taps.sources]
        return {name: round(share, 4) for name, share in zip(names, self.blend.shares.tolist(), strict=False)}

    @property
    def silent(self) -> set[int]:
        """Numbers of those of several teachers that have no say, neither alone nor with the others: why ask them."""
        if not isinstance(self.blend, Ensemble):
            return set()
        *each, together = self.blend.shares.tolist()
        return set() if together else {number for number, share in enumerate(each) if not share}

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
def logits_of_clean(model: nn.Module, taps: Readable, device: torch.device) -> Tensor:
    """Logits [N, K] of a model in eval mode for the taps of clean images, on the CPU."""
    return torch.cat([logits_of(model(torch.from_numpy(piece).to(device))).cpu() for piece in taps.pieces(_AT_ONCE)])


def logits_of(answer: ProxyAnswer | Tensor) -> Tensor:
    return answer.logits_BK if isinstance(answer, ProxyAnswer) else answer
