"""Stage 1: reprogram the frozen teacher into a proxy space for the task.

B batch, V views, W summed tap widths, C one tap's width, K classes, D proxy width.

The published method (arXiv 2304.02263) keeps the foundation model frozen and projects its knowledge into a proxy space;
the losses here are our own design. Only cached taps are seen, so this takes seconds.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.domain.config import ReprogramConfig
from worker.training import losses
from worker.training.data.side_by_side import Readable
from worker.training.engine.loop import StepOutput

FIRST_SCALE, LARGEST_SCALE = 16.0, 64.0
_CLIP = 6.0
_SIGMA_FLOOR = 1e-3
_CHUNK = 1024  # views at once


class ProxyAnswer(NamedTuple):
    """What the reprogrammed teacher says of an image."""

    z_BD: Tensor
    """Unit vectors in the proxy space."""
    logits_BK: Tensor


class StageOneBatch(NamedTuple):
    """Labelled images, and beside them unlabelled ones where the data set has any; B and U may differ."""

    taps_BW: Tensor
    shifted_BW: Tensor
    """Of the domain-shifted views."""
    labels_B: Tensor
    unlabelled: tuple[Tensor, Tensor] | None = None
    """Taps [U, W] and taps of their shifted views [U, W]."""
    guesses_UK: Tensor | None = None
    """From the second round on: the probabilities that the round before gave to the unlabelled images."""


class TapItems:
    """Images and their views, as stage 1 draws them."""

    def __init__(self, taps: Readable, shifted: Readable) -> None:
        self.taps = taps
        self.shifted = shifted

    def __len__(self) -> int:
        return self.taps.shape[0] * self.taps.shape[1]

    def take(self, rows_B: np.ndarray, visits_B: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
        """Returns taps [B, W] and taps of a shifted view [B, W].

        Args:
            visits_B: how often the image was shown before; its views take turns.
        """
        taps, shifted = (
            torch.from_numpy(some.take(rows_B, visits_B % some.shape[1])).to(device).float()
            for some in (self.taps, self.shifted)
        )
        return taps, shifted


class Standardise(nn.Module):
    """û = clip((u − μ) / (σ + 1e-3), ±6): a source-free recalibration of the teacher to the target's domain."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def fit(self, *taps: Readable) -> None:
        """μ and σ over all views of all images [N, V, W]; they come from the train split alone."""
        width = len(self.mean)
        total, squares, count = np.zeros(width), np.zeros(width), 0
        for some in taps:
            for piece in some.pieces(max(1, _CHUNK // some.shape[1])):
                chunk = piece.reshape(-1, width).astype(np.float64)
                total += chunk.sum(0)
                squares += np.square(chunk).sum(0)
                count += len(chunk)
        mean = total / count
        self.mean.copy_(torch.from_numpy(mean))
        self.std.copy_(torch.from_numpy(np.sqrt(np.maximum(squares / count - np.square(mean), 0))))

    def forward(self, taps_BW: Tensor) -> Tensor:
        return ((taps_BW - self.mean) / (self.std + _SIGMA_FLOOR)).clamp(-_CLIP, _CLIP)


class Reprogrammer(nn.Module):
    """z = norm(Σ_l g_l A_l(û_l)), logits = s · z · norm(P)ᵀ.

    A_l = LayerNorm → Dropout → Linear(D); g = softmax(a); P the K class proxies; s learnable, 16 at first, at most 64.
    """

    def __init__(self, widths: list[int], classes: int, config: ReprogramConfig) -> None:
        super().__init__()
        self.widths = widths
        first = 0 if config.taps == "multi" else len(widths) - 1
        self.used = range(first, len(widths))
        self.width = config.width or (128 if classes < 50 else 256)
        self.standardise = Standardise(sum(widths))
        self.adapters = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(widths[i]), nn.Dropout(config.dropout), nn.Linear(widths[i], self.width))
            for i in self.used
        )
        self.gate = nn.Parameter(torch.zeros(len(self.adapters)))
        self.proxies = nn.Parameter(F.normalize(torch.randn(classes, self.width), dim=1))
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))

    @property
    def scale(self) -> Tensor:
        """s"""
        return self.log_scale.exp().clamp(max=LARGEST_SCALE)

    def read(self, z_BD: Tensor) -> Tensor:
        """Logits [B, K] of points in the proxy space; the student's projections are read the same way."""
        return self.scale * z_BD @ F.normalize(self.proxies, dim=1).T

    def forward(self, taps_BW: Tensor) -> ProxyAnswer:
        parts = self.standardise(taps_BW).split(self.widths, 1)
        gates = self.gate.softmax(0)
        mixed = sum(
            gates[n] * adapter(parts[i]) for n, (i, adapter) in enumerate(zip(self.used, self.adapters, strict=True))
        )
        z = losses.unit(mixed)
        return ProxyAnswer(z, self.read(z))

    @torch.no_grad()
    def start_at_class_means(self, taps: Readable, labels_N: np.ndarray) -> None:
        """Put each proxy at the mean of its class, as the untrained adapters see the first views."""
        self.eval()
        sums, device = torch.zeros_like(self.proxies), self.gate.device
        for start in range(0, len(taps), _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, len(taps)))
            views = torch.from_numpy(taps.take(rows, np.zeros_like(rows))).to(device).float()
            sums.index_add_(0, torch.from_numpy(labels_N[rows]).to(device), self(views).z_BD)
        known = torch.from_numpy(np.unique(labels_N)).to(device)
        self.proxies[known] = F.normalize(sums[known], dim=1)


class ReprogramTask(nn.Module):
    """½[CE_ε(v_a, y) + CE_ε(v_b, y)] + CE(v_u, q) + λ_v{(1 − cos(z_a, z_b)) + symKL(q_a, q_b)} + λ_m moments(z_a, z_b).

    a is a view, b its domain-shifted view. The domain terms λ_v and λ_m run over labelled and unlabelled images alike:
    on 200 labelled and 2,100 unlabelled photographs that gave the teacher 71 % instead of 67 %. u are the unlabelled
    views with guessed probabilities q, where there are any (self-training). `weights_K` multiplies the labels' CE by
    the weight of the image's class.
    """

    def __init__(self, reprogrammer: Reprogrammer, config: ReprogramConfig, weights_K: Tensor | None = None) -> None:
        super().__init__()
        self.reprogrammer = reprogrammer
        self.config = config
        self.weights_K = weights_K

    def forward(self, batch: StageOneBatch, _progress: float) -> StepOutput:
        count = len(batch.labels_B)
        more, more_shifted = batch.unlabelled or (batch.taps_BW[:0], batch.shifted_BW[:0])
        a = self.reprogrammer(torch.cat([batch.taps_BW, more]))
        b = self.reprogrammer(torch.cat([batch.shifted_BW, more_shifted]))
        smoothing = self.config.label_smoothing
        ce = 0.5 * (
            _cross_entropy(a.logits_BK[:count], batch.labels_B, self.weights_K, smoothing)
            + _cross_entropy(b.logits_BK[:count], batch.labels_B, self.weights_K, smoothing)
        )
        view = losses.cosine_distance(a.z_BD, b.z_BD) + losses.symmetric_kl(a.logits_BK, b.logits_BK)
        moment = losses.moments(a.z_BD, b.z_BD)
        loss = ce + self.config.view_weight * view + self.config.moment_weight * moment
        parts = {"ce": ce, "view": view, "moment": moment}
        if batch.guesses_UK is not None:
            parts["guess"] = F.cross_entropy(a.logits_BK[count:], batch.guesses_UK)
            loss = loss + parts["guess"]
        return StepOutput(loss, {name: part.detach() for name, part in parts.items()})


class LinearProbe(nn.Module):
    """Logistic regression on the teacher's standardised pre-logits vector: what the teacher knows without any of us.

    On the vectors of several teachers side by side, where there are several.
    """

    def __init__(self, widths: list[int], classes: int, pre_logits: Sequence[slice] | None = None) -> None:
        """`pre_logits`: where among the taps these vectors are; the last of `widths`, unless given."""
        super().__init__()
        self.widths = widths
        self._pre_logits = pre_logits or [slice(sum(widths[:-1]), sum(widths))]
        self.standardise = Standardise(sum(widths))
        self.linear = nn.Linear(sum(one.stop - one.start for one in self._pre_logits), classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, taps_BW: Tensor) -> Tensor:
        standardised = self.standardise(taps_BW)
        return self.linear(torch.cat([standardised[:, one] for one in self._pre_logits], 1))


class ProbeTask(nn.Module):
    """Cross-entropy of the probe; the same items, class weights and budget as stage 1."""

    def __init__(self, probe: LinearProbe, weights_K: Tensor | None = None) -> None:
        super().__init__()
        self.probe = probe
        self.weights_K = weights_K

    def forward(self, batch: StageOneBatch, _progress: float) -> StepOutput:
        ce = _cross_entropy(self.probe(batch.taps_BW), batch.labels_B, self.weights_K)
        return StepOutput(ce, {"ce": ce.detach()})


def _cross_entropy(logits_BK: Tensor, labels_B: Tensor, weights_K: Tensor | None, smoothing: float = 0.0) -> Tensor:
    """Mean over the batch, so that an image weighs the same whoever its neighbours are."""
    each = F.cross_entropy(logits_BK, labels_B, label_smoothing=smoothing, reduction="none")
    return (each if weights_K is None else weights_K[labels_B] * each).mean()
