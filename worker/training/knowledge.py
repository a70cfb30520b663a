"""What stage 2 learns from: the teacher's knowledge of the task, and how it is looked up.

N images, V views, W summed tap widths, B batch, K classes, D proxy width.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from worker.training.distill import needs_taps
from worker.training.models import state_digest
from worker.training.prepare import Run, TeacherTaps
from worker.training.records import Records
from worker.training.reprogram import LinearProbe, ProxyAnswer, Reprogrammer

_AT_ONCE = 1024  # views or clean images
_VERSION = 1
"""To be raised when other answers are made of the same taps: what is kept is then of no use."""


class Lesson(NamedTuple):
    """What the student should learn of a batch of views; float32 on the run's device."""

    z_BD: Tensor | None
    """Unit vectors in the proxy space, where the method has one."""
    logits_BK: Tensor
    """Of the reprogrammed teacher, else of the probe."""
    taps_BW: Tensor | None
    """The teacher's standardised taps, where the method asks for them."""


@dataclass(frozen=True)
class Knowledge:
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
    def answer(self, taps_BW: Tensor) -> Lesson:
        """What the student should learn of views with these taps, which lie on the run's device."""
        answer = self.model(taps_BW)
        if isinstance(answer, ProxyAnswer):
            return Lesson(answer.z_BD, answer.logits_BK, None)
        return Lesson(None, answer, None)

    def judged_logits(self) -> tuple[Tensor | None, Tensor]:
        """Logits of reprogrammed teacher and probe on the images of the final evaluation, on the CPU."""
        judged, device = self.taps.judged, self.probe.linear.weight.device
        reprogrammed = None if self.reprogrammer is None else logits_of_clean(self.reprogrammer, judged, device)
        return reprogrammed, logits_of_clean(self.probe, judged, device)


class Targets:
    """The teacher's answers to the views of the training images: looked up, or asked for live."""

    def __init__(self, run: Run, knowledge: Knowledge) -> None:
        self.run = run
        self.knowledge = knowledge
        self._taps: Records | None = None
        self._lessons: Records | None = None
        self._wants_taps = needs_taps(run.spec.method)
        self._keys_N = knowledge.taps.pool.keys
        if not run.live:
            taps = knowledge.taps
            self._taps = taps.labelled.store.view(taps.pool.ids)
            self._lessons = _answer_all(run, knowledge, self._taps)
        self.views = None if self._taps is None else self._taps.shape[1]
        """How many views there are; None when any view can be asked for."""

    def at(self, rows_B: np.ndarray, views_B: np.ndarray) -> Lesson:
        """What is to be learned of these views of images of `Pools.training`."""
        if self._taps is None or self._lessons is None:
            taps = self._ask(rows_B, views_B)
            return self.knowledge.answer(taps)._replace(taps_BW=self._standardised(taps) if self._wants_taps else None)
        both = torch.from_numpy(self._lessons.take(rows_B, views_B)).to(self.run.device).float()
        reprogrammer = self.knowledge.reprogrammer
        width = 0 if reprogrammer is None else reprogrammer.width
        taps_BW = None
        if self._wants_taps:
            read = torch.from_numpy(self._taps.take(rows_B, views_B))
            taps_BW = self._standardised(read.to(self.run.device).float())
        return Lesson(both[:, :width] if width else None, both[:, width:], taps_BW)

    def _ask(self, rows_B: np.ndarray, views_B: np.ndarray) -> Tensor:
        taps = self.knowledge.taps
        assert taps.squares is not None
        return taps.source.taps(taps.squares[rows_B], self._keys_N[rows_B], views_B, shifted=False)

    @torch.no_grad()
    def _standardised(self, taps_BW: Tensor) -> Tensor:
        return self.knowledge.probe.standardise(taps_BW)


@torch.no_grad()
def logits_of_clean(model: nn.Module, taps: Records, device: torch.device) -> Tensor:
    """Logits [N, K] of a model in eval mode for the taps of clean images, on the CPU."""
    return torch.cat([logits_of(model(torch.from_numpy(piece).to(device))).cpu() for piece in taps.pieces(_AT_ONCE)])


def logits_of(answer: ProxyAnswer | Tensor) -> Tensor:
    return answer.logits_BK if isinstance(answer, ProxyAnswer) else answer


def _answer_all(run: Run, knowledge: Knowledge, taps: Records) -> Records:
    """Answers to all kept taps [N, V, W]: z, where there is one, and logits side by side, float16 [N, V, D + K]."""
    model = knowledge.model
    classes = knowledge.probe.linear.out_features
    width = classes if knowledge.reprogrammer is None else knowledge.reprogrammer.width + classes
    description = {"kind": "lessons", "version": _VERSION, "model": state_digest(model), "taps": taps.store.key}

    def compute(rows: np.ndarray) -> np.ndarray:
        chunk = torch.from_numpy(taps[rows]).to(run.device).float()
        lesson = knowledge.answer(chunk.flatten(0, 1))
        both = lesson.logits_BK if lesson.z_BD is None else torch.cat([lesson.z_BD, lesson.logits_BK], 1)
        return both.unflatten(0, chunk.shape[:2]).half().cpu().numpy()

    return run.cache.store(description, (taps.shape[1], width), np.float16).fill(
        knowledge.taps.pool.ids,
        compute,
        at_once=max(1, _AT_ONCE // taps.shape[1]),
        on_progress=lambda fraction: None,
        stop_requested=run.stop_requested,
    )
