"""Optional, for domains far from the teacher's: what an image goes through before the frozen teacher sees it.

N images, B batch, C channels, H W pixels, F the teacher's pre-logits width, K classes.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.domain.spec import TrainingSpec
from worker.training.data.cache import Cache
from worker.training.data.decoded import Batches, Pool, decode_squares
from worker.training.data.views import crop_matrices, cut
from worker.training.engine.loop import Hooks, Optimisation, StepOutput, fit
from worker.training.models.networks import Teacher, state_digest
from worker.training.teacher.features import TapSource

GRID = 14
"""Side of δ: coarse, so that it can darken a corner but not draw over the image."""
_BATCH = 64  # gradients through a teacher need memory and time
_VERSION = 1


class InputReprogramming(nn.Module):
    """x' = γ⊙x + β + upsample(δ), γ and β per channel; the identity at first (Elsayed et al., 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(3, 1, 1))
        self.beta = nn.Parameter(torch.zeros(3, 1, 1))
        self.delta = nn.Parameter(torch.zeros(3, GRID, GRID))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        size = images_BCHW.shape[2:]
        delta_CHW = F.interpolate(self.delta[None], size=size, mode="bilinear", align_corners=False)[0]
        return self.gamma * images_BCHW + self.beta + delta_CHW


class InputTask(nn.Module):
    """Cross-entropy of a linear head on the frozen teacher's pre-logits; the head is thrown away.

    It starts at zero, so the input is left alone until the head has learned what to ask of it.
    """

    def __init__(self, source: InputReprogramming, teacher: Teacher, classes: int) -> None:
        super().__init__()
        self.input = source
        self._read: Callable[[Tensor], Tensor] = lambda images: _pre_logits(teacher, images)  # not part of the task
        # the scale of the features differs from teacher to teacher, and moves with the input
        self.norm = nn.BatchNorm1d(teacher.widths[-1], affine=False)
        self.head = nn.Linear(teacher.widths[-1], classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, batch: tuple[Tensor, Tensor], _progress: float) -> StepOutput:
        images_BCHW, labels_B = batch
        ce = F.cross_entropy(self.head(self.norm(self._read(self.input(images_BCHW)))), labels_B)
        return StepOutput(ce, {"ce": ce.detach()})


def reprogram_input(
    source: TapSource,
    spec: TrainingSpec,
    pool: Pool,
    classes: int,
    data_dir: Path,
    cache: Cache,
    *,
    stop_requested: Callable[[], bool],
) -> TapSource:
    """`source` with an input trained on views of the labelled images of `pool`, or taken from a job that did.

    Raises:
        Stopped: a stop was requested; this part begins anew.
    """
    config = spec.reprogram
    description = {
        "kind": "input",
        "version": _VERSION,
        "source": source.describe(),
        "views": spec.views.model_dump(include={"seed", "min_scale", "hflip"}),
        "images": [(sample.id, sample.label) for sample in pool.samples],
        "classes": classes,
        "options": config.model_dump(include={"input_steps", "input_learning_rate"}),
        "balance": spec.balance == "sampling",
        "seed": spec.seed,
    }
    module = InputReprogramming().to(source.device)
    kept = cache.load_state(description)
    if kept is not None:
        module.load_state_dict(kept[0])
    else:
        torch.manual_seed(spec.seed)
        squares = decode_squares(
            data_dir, pool, source.side, source.interpolation, cache, lambda fraction: None, stop_requested
        )
        keys_N, labels_N = pool.keys, pool.labels
        batches = Batches(
            np.arange(len(pool)),
            min(_BATCH, config.batch_size),
            spec.seed,
            labels_N if spec.balance == "sampling" else None,
        )

        def batch_at(step: int) -> tuple[Tensor, Tensor]:
            rows, visits = batches.at(step)
            matrices = crop_matrices(spec.views.seed, keys_N[rows], visits, spec.views)
            images = cut(torch.from_numpy(squares[rows]).to(source.device), matrices, source.teacher.image_size)
            return images, torch.from_numpy(labels_N[rows]).to(source.device)

        task = InputTask(module, source.teacher, classes).to(source.device)
        # no decay: it would pull γ to 0 instead of 1
        how = Optimisation(config.input_steps, config.input_learning_rate, weight_decay=0.0)
        fit(task, module, batch_at, how, hooks=Hooks(stop_requested=stop_requested))
        cache.save_state(description, module.state_dict(), {})
    module.eval().requires_grad_(False)
    return replace(source, prepare_images=module, prepared_by=state_digest(module))


def _pre_logits(teacher: Teacher, images_BCHW: Tensor) -> Tensor:
    """As the teacher's own, with a gradient to the images."""
    _, features = teacher.read(images_BCHW)
    return teacher.tapped.head(features, pre_logits=True).float()
