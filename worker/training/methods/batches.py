"""What stage 2 eats: batches of views, the same crop for teacher and student.

B batch, N images.
"""

import numpy as np
import torch

from app.domain.failpoints import failpoint
from app.domain.workload import images_a_step
from worker.training.data.decoded import Batches, WithLabels
from worker.training.data.pools import Images
from worker.training.data.views import CHANGE_NUMBERS, crop_matrices, cut, uniform
from worker.training.methods.handover import LABEL_SHARE, Handover
from worker.training.methods.targets import TargetSource
from worker.training.methods.task import DistillBatch
from worker.training.run import Run

# what the student alone sees must not repeat the numbers that cut the view
_JITTER_SEED = 2_000_003
_LABELS_SEED = 4_000_037  # labelled images come in an order of their own too


class BatchSource:
    """The batch of a step. Depends on the seed, the step and, where there is one, the handover alone."""

    def __init__(self, run: Run, images: Images, targets: TargetSource | None) -> None:
        self.run = run
        self.images = images
        self.targets = targets
        wanted = run.spec.distill.batch_size
        count = len(images.pools.training)
        self.batch_size = images_a_step(run.spec, count)
        if self.batch_size < wanted:
            run.reporter.event(
                "batch_clamped",
                f"Stage 2 uses batches of {self.batch_size}: there are {count} training images.",
            )
        self.keys = images.pools.training.keys
        self.labels = images.pools.training.labels
        balanced = self.labels if run.spec.balance == "sampling" else None
        labelled = len(images.pools.labelled)
        of_labelled = None if balanced is None else balanced[:labelled]
        seed = run.spec.seed
        self.batches = WithLabels(
            Batches(np.arange(count), self.batch_size, seed, balanced),
            Batches(np.arange(labelled), self.batch_size, seed + _LABELS_SEED, of_labelled),
        )
        self._share = run.spec.distill.label_share if labelled < count else 0.0
        self._last_share = max(self._share, LABEL_SHARE) if labelled < count else 0.0

    @property
    def steps(self) -> int:
        """Optimiser steps that make up the budget in image steps."""
        return max(1, self.run.spec.distill.image_steps // self.batch_size)

    def at(self, step: int, handover: Handover | None = None) -> DistillBatch:
        """Args:
        handover: the more of the lead the labels have, the more of the batch is labelled.
        """
        failpoint("stage_two")
        spec, device = self.run.spec, self.run.device
        led = 0.0 if handover is None else handover.at(step / self.steps)
        share = self._share + led * (self._last_share - self._share)
        rows, visits = self.batches.at(step, round(share * self.batch_size))
        keys = self.keys[rows]
        views = visits if self.targets is None or self.targets.views is None else visits % self.targets.views
        squares = torch.from_numpy(self.images.squares[rows]).to(device)
        taught = self.targets.at(rows, views) if self.targets is not None else None
        return DistillBatch(
            images_BCHW=cut(squares, crop_matrices(spec.views.seed, keys, views, spec.views), spec.image_size),
            numbers_BN=torch.from_numpy(uniform(spec.seed + _JITTER_SEED, keys, visits, CHANGE_NUMBERS)),
            labels_B=torch.from_numpy(self.labels[rows]).to(device),
            teacher_z_BD=taught.z_BD if taught is not None else None,
            teacher_logits_BK=taught.logits_BK if taught is not None else None,
            teacher_taps_BW=taught.taps_BW if taught is not None else None,
        )
