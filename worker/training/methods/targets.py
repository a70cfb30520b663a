"""The targets of stage 2: the teacher's answers to the training views, looked up in the cache or computed live.

N images, V views, W summed tap widths, B batch, K classes, D proxy width.
"""

import numpy as np
import torch
from torch import Tensor

from worker.training.data.side_by_side import Readable
from worker.training.models.networks import state_digest
from worker.training.run import Run
from worker.training.teacher.task_teacher import TaskTeacher, TeacherTargets

_AT_ONCE = 1024  # views
_VERSION = 1
"""To be raised when other answers are made of the same taps: what is kept is then of no use."""


class TargetSource:
    """The teacher's answers to the views of the training images: looked up, or asked for live."""

    def __init__(self, run: Run, task_teacher: TaskTeacher) -> None:
        self.run = run
        self.task_teacher = task_teacher
        self._taps: Readable | None = None
        self._targets: Readable | None = None
        self._wants_taps = run.spec.method_info.needs_taps
        if not run.live:
            taps = task_teacher.taps
            self._taps = taps.labelled.view(taps.pool.ids)
            self._targets = _answer_all(run, task_teacher, self._taps)
        self.views = None if self._taps is None else self._taps.shape[1]
        """How many views there are; None when any view can be asked for."""

    def at(self, rows_B: np.ndarray, views_B: np.ndarray) -> TeacherTargets:
        """What is to be learned of these views of images of `Pools.training`."""
        if self._taps is None or self._targets is None:
            silent = () if self._wants_taps else self.task_teacher.silent
            taps = self.task_teacher.taps.live(rows_B, views_B, silent)
            return self.task_teacher.answer(taps)._replace(
                taps_BW=self._standardised(taps) if self._wants_taps else None
            )
        both = torch.from_numpy(self._targets.take(rows_B, views_B)).to(self.run.device).float()
        width = 0 if self.task_teacher.blend is None else self.task_teacher.blend.width
        taps_BW = None
        if self._wants_taps:
            read = torch.from_numpy(self._taps.take(rows_B, views_B))
            taps_BW = self._standardised(read.to(self.run.device).float())
        return TeacherTargets(both[:, :width] if width else None, both[:, width:], taps_BW)

    @torch.no_grad()
    def _standardised(self, taps_BW: Tensor) -> Tensor:
        return self.task_teacher.probe.standardise(taps_BW)


def _answer_all(run: Run, task_teacher: TaskTeacher, taps: Readable) -> Readable:
    """Targets for all cached taps [N, V, W]: z, where there is one, and logits side by side, float16 [N, V, D + K]."""
    model = task_teacher.model
    classes = task_teacher.probe.linear.out_features
    width = classes if task_teacher.blend is None else task_teacher.blend.width + classes
    description = {"kind": "targets", "version": _VERSION, "model": state_digest(model), "taps": taps.key}

    def compute(rows: np.ndarray) -> np.ndarray:
        chunk = torch.from_numpy(taps[rows]).to(run.device).float()
        targets = task_teacher.answer(chunk.flatten(0, 1))
        both = targets.logits_BK if targets.z_BD is None else torch.cat([targets.z_BD, targets.logits_BK], 1)
        return both.unflatten(0, chunk.shape[:2]).half().cpu().numpy()

    return run.cache.store(description, (taps.shape[1], width), np.float16).fill(
        task_teacher.taps.pool.ids,
        compute,
        at_once=max(1, _AT_ONCE // taps.shape[1]),
        on_progress=lambda fraction: None,
        stop_requested=run.stop_requested,
    )
