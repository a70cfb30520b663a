"""Stage 2: the student learns, progressively, from the proxy space. The baselines are the same task with other weights.

B batch, C channels, H W pixels, K classes, D proxy width; τ in [0, 1) is the progress of the stage.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from app.domain.spec import DistillConfig, Method
from worker.training import losses
from worker.training.loop import StepOutput
from worker.training.models import STAGES, Student
from worker.training.reprogram import Reprogrammer
from worker.training.views import jitter


class DistillBatch(NamedTuple):
    """One step's images and what the teacher said of the same views."""

    images_BCHW: Tensor
    """The shared crop and flip, in [0, 1]."""
    jitter_B3: Tensor
    """Uniform numbers for the student's own photometric jitter."""
    labels_B: Tensor
    """−1 where there is none."""
    teacher_z_BD: Tensor | None
    teacher_logits_BK: Tensor | None


@dataclass(frozen=True)
class LossWeights:
    """How much each loss counts at one moment."""

    align: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """w_1..w_4 of the alignment of the student's stages, shallow to deep."""
    kd: float = 0.0
    ce: float = 0.0
    proxy: float = 0.0
    relation: float = 0.0


def weights_at(progress: float, method: Method, config: DistillConfig) -> LossWeights:
    """The schedule.

    Progressive: w_1..w_3 are triangles of height 0.5 around τ = 0, .15, .35, gone by .8; w_4 falls from 1 to 0.2 and
    w_ce rises from 0.1 to 0.3 over the second half; w_kd reaches 0.9 at τ = .3. Static: what these are on average.
    """
    if method is Method.SCRATCH:
        return LossWeights(ce=1.0)
    progressive = config.schedule == "progressive" and method is Method.TDMR
    late = _ramp(progress, 0.5, 1.0)
    ce = 0.1 + 0.2 * late if progressive else 0.2
    kd = 0.9 * _ramp(progress, 0.0, 0.3) if progressive else 0.9
    if method is not Method.TDMR:
        return LossWeights(kd=kd, ce=ce)
    if progressive:
        triangles = tuple(0.5 * max(0.0, 1 - abs(progress - centre) / 0.45) for centre in (0.0, 0.15, 0.35))
        align = (*triangles, 1 - 0.8 * late)
    else:
        align = (0.15, 0.2, 0.25, 0.8)
    return LossWeights(
        align=tuple(config.align_weight * w for w in align),  # type: ignore[arg-type]
        kd=kd,
        ce=ce,
        proxy=config.proxy_weight,
        relation=config.relation_weight,
    )


def _ramp(progress: float, start: float, end: float) -> float:
    return min(1.0, max(0.0, (progress - start) / (end - start)))


class Connector(nn.Module):
    """Q_k: from a student stage into the proxy space. Thrown away after training.

    LayerNorm → Linear → GELU → Linear(D) on pooled features: CNN and transformer meet without matching shapes.
    """

    def __init__(self, width: int, proxy_width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, proxy_width), nn.GELU(), nn.Linear(proxy_width, proxy_width)
        )

    def forward(self, features_BC: Tensor) -> Tensor:
        return losses.unit(self.layers(features_BC))


class DistillTask(nn.Module):
    """Σ w_k (1 − cos(z_k, z_t)) + w_kd L_kd + w_pk L_pk + w_rel L_rel + w_ce CE, weights by `weights_at`.

    `scratch` has CE alone; `kd` and `reprogrammed-kd` have KD and CE, on the probe's and the proxy space's logits.
    """

    def __init__(
        self,
        student: Student,
        method: Method,
        config: DistillConfig,
        jitter_strength: float,
        proxy: Reprogrammer | None,
    ) -> None:
        super().__init__()
        self.student = student
        self.method = method
        self.config = config
        self.jitter_strength = jitter_strength
        self.connectors = nn.ModuleList()
        self._read = None
        if method is Method.TDMR:
            assert proxy is not None
            self.connectors.extend(Connector(width, proxy.width) for width in student.widths)
            self._read = proxy.read  # a bound method: the frozen proxies are neither trained nor in the checkpoint

    def forward(self, batch: DistillBatch, progress: float) -> StepOutput:
        weights = weights_at(progress, self.method, self.config)
        images = jitter(batch.images_BCHW, self.jitter_strength, batch.jitter_B3)
        stages, logits = self.student(images)
        parts: dict[str, tuple[float, Tensor]] = {
            "ce": (weights.ce, losses.labelled_cross_entropy(logits, batch.labels_B))
        }
        if weights.kd and batch.teacher_logits_BK is not None:
            parts["kd"] = weights.kd, losses.kd(batch.teacher_logits_BK, logits, self.config.temperature)
        if self._read is not None and batch.teacher_z_BD is not None and batch.teacher_logits_BK is not None:
            z = [connector(stage) for connector, stage in zip(self.connectors, stages, strict=True)]
            # a student with fewer stages takes the deep ones' weights
            for k, (weight, z_k) in enumerate(zip(weights.align[-len(z) :], z, strict=True), STAGES - len(z) + 1):
                parts[f"align_{k}"] = weight, losses.cosine_distance(z_k, batch.teacher_z_BD)
            proxy_logits = self._read(z[-1])
            parts["proxy"] = weights.proxy, losses.kd(batch.teacher_logits_BK, proxy_logits, self.config.temperature)
            parts["relation"] = weights.relation, losses.relation(z[-1], batch.teacher_z_BD)
        loss = sum((weight * part for weight, part in parts.values()), start=torch.zeros((), device=logits.device))
        return StepOutput(loss, {name: part.detach() for name, (_, part) in parts.items()})
