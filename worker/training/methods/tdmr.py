"""`tdmr`: the student learns from the reprogrammed teacher, and from the labels once it has passed it.

B batch, C channels, K classes, D proxy width; τ in [0, 1) is the stage's progress.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from app.domain.config import DistillConfig
from worker.training import losses
from worker.training.engine.loop import StepOutput
from worker.training.methods.handover import CE_WEIGHT, KD_WEIGHT
from worker.training.methods.task import UNLABELLED, DistillBatch, Parts, Setting, StudentTask, method
from worker.training.models.networks import STAGES, StudentAnswer


@dataclass(frozen=True)
class LossWeights:
    """How much each loss of TDMR counts at one moment."""

    align: tuple[float, float, float, float]
    """w_1..w_4 of the alignment of the student's stages, shallow to deep."""
    kd: float
    ce: float
    proxy: float
    relation: float


def weights_at(progress: float, config: DistillConfig) -> LossWeights:
    """The schedule of TDMR.

    Static: the mean of what follows. Fading: static, but alignment, proxy and relation losses fall to 0 over the second
    half: the proxy space first, then the task. Progressive: w_1..w_3 are triangles of height 0.5 around τ = 0, .15,
    .35, gone by .8; w_4 falls from 1 to 0.2 and w_ce rises from half to 1.5 times its weight over the second half;
    w_kd reaches 0.9 at τ = .3. Reversed: w_1..w_4 are those of 1 − τ, the others run forwards. Each stage is then
    aligned as much in total as in the progressive run, only deep before shallow, so a difference is due to the order.
    """
    late = _ramp(progress, 0.5, 1.0)
    fade = 1 - late if config.schedule == "fading" else 1.0
    if config.schedule in ("fading", "static"):
        align, kd, ce = (0.15, 0.2, 0.25, 0.8), 0.9, config.ce_weight
    else:
        align = _alignment_at(1 - progress if config.schedule == "reversed" else progress)
        kd = 0.9 * _ramp(progress, 0.0, 0.3)
        ce = config.ce_weight * (0.5 + late)
    return LossWeights(
        align=tuple(fade * config.align_weight * w for w in align),  # type: ignore[arg-type]
        kd=kd,
        ce=ce,
        proxy=fade * config.proxy_weight,
        relation=fade * config.relation_weight,
    )


def handed_over(weights: LossWeights, led: float) -> LossWeights:
    """The weights once the labels have the fraction `led` of the lead: in the end CE and a little KD are left."""
    rest = 1 - led
    return LossWeights(
        align=tuple(rest * w for w in weights.align),  # type: ignore[arg-type]
        kd=rest * weights.kd + led * min(KD_WEIGHT, weights.kd),
        ce=rest * weights.ce + led * max(CE_WEIGHT, weights.ce),
        proxy=rest * weights.proxy,
        relation=rest * weights.relation,
    )


def _alignment_at(progress: float) -> tuple[float, float, float, float]:
    first, second, third = (0.5 * max(0.0, 1 - abs(progress - centre) / 0.45) for centre in (0.0, 0.15, 0.35))
    return first, second, third, 1 - 0.8 * _ramp(progress, 0.5, 1.0)


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


class TdmrTask(StudentTask):
    """Σ w_k (1 − cos(z_k, z_t)) + w_kd L_kd + w_pk L_pk + w_rel L_rel + w_ce CE, weights by `weights_at`, then by
    `handed_over` once the student has passed its teacher."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        proxy = setting.proxy_space
        assert proxy is not None
        # a loss that never counts costs nothing: neither connectors nor a gradient
        if self.config.align_weight:
            widths = self.student.widths
        elif self.config.proxy_weight or self.config.relation_weight:
            widths = self.student.widths[-1:]
        else:
            widths = []
        self.connectors = nn.ModuleList(Connector(width, proxy.width) for width in widths)
        self.handover = setting.handover
        self._read = proxy.read  # a bound method: the frozen proxies are neither trained nor in the checkpoint

    def forward(self, batch: DistillBatch, progress: float) -> StepOutput:
        if self.handover is not None and batch.teacher_logits_BK is not None:
            batch = batch._replace(teacher_logits_BK=self.handover.answers(batch.images_BCHW, batch.teacher_logits_BK))
        return super().forward(batch, progress)

    def parts(self, answer: StudentAnswer, batch: DistillBatch, progress: float) -> Parts:
        assert batch.teacher_z_BD is not None
        weights = weights_at(progress, self.config)
        if self.handover is not None:
            weights = handed_over(weights, self.handover.at(progress))
        parts: Parts = {
            "ce": (weights.ce, self.ce(answer, batch)),
            "kd": (weights.kd, self.kd(answer.logits, batch)),
        }
        stages = answer.stages[len(answer.stages) - len(self.connectors) :]
        z = [connector(stage) for connector, stage in zip(self.connectors, stages, strict=True)]
        if self.config.align_weight:
            # a student with fewer stages takes the deep ones' weights
            for k, (weight, z_k) in enumerate(zip(weights.align[-len(z) :], z, strict=True), STAGES - len(z) + 1):
                parts[f"align_{k}"] = weight, losses.cosine_distance(z_k, batch.teacher_z_BD)
        if self.config.proxy_weight:
            parts["proxy"] = weights.proxy, self.kd(self._read(z[-1]), batch)
        if self.config.relation_weight:
            parts["relation"] = weights.relation, losses.relation(z[-1], batch.teacher_z_BD)
        return parts


METHODS = (
    method(
        TdmrTask,
        "tdmr",
        "Reprogram the teacher, then KD and cross-entropy from it; the labels lead once the student has passed it. "
        "Alignment, proxy and relation losses are optional.",
        paper="Xu et al., 2023, arXiv 2304.02263",
        reprograms=True,
        reads=UNLABELLED
        | {"temperature", "schedule", "handover", "ce_weight", "align_weight", "proxy_weight", "relation_weight"},
    ),
)
