"""Stage 1: reprogram the frozen teacher into a proxy space for the task.

B batch, V views, W summed tap widths, C one tap's width, K classes, D proxy width.

The published method (arXiv 2304.02263) keeps the foundation model frozen and projects its knowledge into a proxy space;
the losses here are our own design. Only cached taps are seen, so this takes seconds.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.domain.spec import ReprogramConfig
from worker.training import losses
from worker.training.loop import StepOutput

FIRST_SCALE, LARGEST_SCALE = 16.0, 64.0
_CLIP = 6.0
_SIGMA_FLOOR = 1e-3
_CHUNK = 4096


class ProxyAnswer(NamedTuple):
    """What the reprogrammed teacher says of an image."""

    z_BD: Tensor
    """Unit vectors in the proxy space."""
    logits_BK: Tensor


class TapItems:
    """Labelled images × views, flattened, as stage 1 draws them."""

    def __init__(self, taps_NVW: np.ndarray, shifted_NVW: np.ndarray, labels_N: np.ndarray) -> None:
        self.taps_NVW = taps_NVW
        self.shifted_NVW = shifted_NVW
        self.labels_N = labels_N

    def __len__(self) -> int:
        return self.taps_NVW.shape[0] * self.taps_NVW.shape[1]

    def batch(self, items_B: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Returns taps [B, W], taps of a shifted twin [B, W], labels [B]."""
        rows, views = np.divmod(items_B, self.taps_NVW.shape[1])
        taps = torch.from_numpy(self.taps_NVW[rows, views]).to(device).float()
        shifted = torch.from_numpy(self.shifted_NVW[rows, views % self.shifted_NVW.shape[1]]).to(device).float()
        return taps, shifted, torch.from_numpy(self.labels_N[rows]).to(device)


class Standardise(nn.Module):
    """û = clip((u − μ) / (σ + 1e-3), ±6): a source-free recalibration of the teacher to the target's domain."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def fit(self, *taps_NVW: np.ndarray) -> None:
        """μ and σ over all given views; they come from the train split alone."""
        width = len(self.mean)
        total, squares, count = np.zeros(width), np.zeros(width), 0
        for taps in taps_NVW:
            flat = taps.reshape(-1, width)
            for start in range(0, len(flat), _CHUNK):
                chunk = flat[start : start + _CHUNK].astype(np.float64)
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
    def start_at_class_means(self, taps_NVW: np.ndarray, labels_N: np.ndarray) -> None:
        """Put each proxy at the mean of its class, as the untrained adapters see it."""
        self.eval()
        z = self(torch.from_numpy(taps_NVW[:, 0].astype(np.float32)).to(self.gate.device)).z_BD
        labels = torch.from_numpy(labels_N).to(z.device)
        for label in labels.unique():
            self.proxies[label] = F.normalize(z[labels == label].mean(0), dim=0)


class ReprogramTask(nn.Module):
    """½[CE_ε(v_a, y) + CE_ε(v_b, y)] + λ_v{(1 − cos(z_a, z_b)) + symKL(q_a, q_b)} + λ_m{moments(z_a, z_b)}.

    a is a view, b its domain-shifted twin.
    """

    def __init__(self, reprogrammer: Reprogrammer, config: ReprogramConfig) -> None:
        super().__init__()
        self.reprogrammer = reprogrammer
        self.config = config

    def forward(self, batch: tuple[Tensor, Tensor, Tensor], _progress: float) -> StepOutput:
        taps, shifted, labels = batch
        a, b = self.reprogrammer(taps), self.reprogrammer(shifted)
        smoothing = self.config.label_smoothing
        ce = 0.5 * (
            F.cross_entropy(a.logits_BK, labels, label_smoothing=smoothing)
            + F.cross_entropy(b.logits_BK, labels, label_smoothing=smoothing)
        )
        view = losses.cosine_distance(a.z_BD, b.z_BD) + losses.symmetric_kl(a.logits_BK, b.logits_BK)
        moment = losses.moments(a.z_BD, b.z_BD)
        loss = ce + self.config.view_weight * view + self.config.moment_weight * moment
        parts = {"ce": ce, "view": view, "moment": moment}
        return StepOutput(loss, {name: part.detach() for name, part in parts.items()})


class LinearProbe(nn.Module):
    """Logistic regression on the teacher's standardised pre-logits vector: what the teacher knows without any of us."""

    def __init__(self, widths: list[int], classes: int) -> None:
        super().__init__()
        self.widths = widths
        self.standardise = Standardise(sum(widths))
        self.linear = nn.Linear(widths[-1], classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, taps_BW: Tensor) -> Tensor:
        return self.linear(self.standardise(taps_BW)[:, -self.widths[-1] :])


class ProbeTask(nn.Module):
    """Cross-entropy of the probe; the same items and budget as stage 1."""

    def __init__(self, probe: LinearProbe) -> None:
        super().__init__()
        self.probe = probe

    def forward(self, batch: tuple[Tensor, Tensor, Tensor], _progress: float) -> StepOutput:
        taps, _, labels = batch
        ce = F.cross_entropy(self.probe(taps), labels)
        return StepOutput(ce, {"ce": ce.detach()})
