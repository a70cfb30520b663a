"""Before a pretrained student learns as a whole: whatever is new in it learns, on its frozen features.

Its body knows something and its classifier nothing. Trained together from the first step, the classifier's large first
gradients undo the body (Kumar et al., 2022, arXiv 2202.10054). So the body first answers some views, once, and the
classifier, with a method's own layers, is trained on these answers in seconds.

B batch, C channels, N views.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from worker.training.data.views import jitter
from worker.training.engine.loop import Optimisation, StepOutput, Stopped, fit
from worker.training.methods.task import DistillBatch, StudentTask
from worker.training.models.networks import StudentAnswer

_STEPS, _BATCH = 1000, 128
_LEARNING_RATE, _WEIGHT_DECAY = 3e-3, 0.05
"""AdamW's."""


def solve_head(
    task: StudentTask,
    batch_at: Callable[[int], DistillBatch],
    views: int,
    seed: int,
    stop_requested: Callable[[], bool] = lambda: False,
) -> bool:
    """Train all of a task but its student's body by the task's own losses, as they are at the beginning of the stage.

    Args:
        batch_at: the batches of stage 2.
        views: how many the body answers, in whole batches.

    Returns:
        Whether it was done: a student that ends in something else than one layer is left as it is.

    Raises:
        Stopped: a stop was requested; nothing is kept, as it takes seconds.
    """
    classifier = cast(Any, task.student.network).get_classifier()
    if not isinstance(classifier, nn.Module) or not list(classifier.parameters()):
        return False
    answers = _answers(task, batch_at, views, stop_requested)
    if not answers or not _ends_in(classifier, answers[0][0]):
        return False
    if isinstance(classifier, nn.Linear | nn.Conv2d):
        # what random weights say in directions that no view has would stay
        for parameter in classifier.parameters():
            nn.init.zeros_(parameter)
    head = _Head(task, classifier)
    kept = _Answers(answers)
    generator = np.random.default_rng(seed)
    rows = [generator.integers(len(kept), size=min(_BATCH, len(kept))) for _ in range(_STEPS)]
    how = Optimisation(_STEPS, _LEARNING_RATE, _WEIGHT_DECAY)
    fit(head, classifier, lambda step: kept.take(rows[step]), how)
    task.train()
    return True


@torch.no_grad()
def _answers(
    task: StudentTask, batch_at: Callable[[int], DistillBatch], views: int, stop_requested: Callable[[], bool]
) -> list[tuple[StudentAnswer, DistillBatch]]:
    """The student's answers to the first batches, in training mode: as it will see them."""
    task.train()
    found: list[tuple[StudentAnswer, DistillBatch]] = []
    count = 0
    while count < views:
        if stop_requested():
            raise Stopped
        batch = batch_at(len(found))
        answer = task.student.answer(jitter(batch.images_BCHW, task.jitter_strength, batch.numbers_BN))
        found.append((answer, batch._replace(images_BCHW=batch.images_BCHW[:, :0])))
        count += len(batch.labels_B)
    return found


@torch.no_grad()
def _ends_in(classifier: nn.Module, answer: StudentAnswer) -> bool:
    """Whether the classifier makes the logits of the pre-logits, and nothing else does."""
    try:
        return torch.allclose(_logits(classifier, answer.pre_logits), answer.logits, atol=1e-4, rtol=1e-4)
    except (IndexError, RuntimeError, TypeError, ValueError):  # it takes something else
        return False


def _logits(classifier: nn.Module, pre_logits_BC: Tensor) -> Tensor:
    given = pre_logits_BC[..., None, None] if isinstance(classifier, nn.Conv2d) else pre_logits_BC
    return cast(Tensor, classifier(given)).flatten(1)


class _Answers:
    """The answers of all batches, taken by their rows."""

    def __init__(self, answers: Sequence[tuple[StudentAnswer, DistillBatch]]) -> None:
        self._stages = [torch.cat(stages) for stages in zip(*(answer.stages for answer, _ in answers), strict=True)]
        self._pre_logits = torch.cat([answer.pre_logits for answer, _ in answers])
        fields: Any = zip(*(batch for _, batch in answers), strict=True)
        self._batch: Any = [None if parts[0] is None else torch.cat(parts) for parts in fields]

    def __len__(self) -> int:
        return len(self._pre_logits)

    def take(self, rows_B: np.ndarray) -> tuple[list[Tensor], Tensor, DistillBatch]:
        rows = torch.from_numpy(rows_B).to(self._pre_logits.device)
        batch: Any = [None if part is None else part[rows] for part in self._batch]
        return [stage[rows] for stage in self._stages], self._pre_logits[rows], DistillBatch(*batch)


class _Head(nn.Module):
    """A task without its student's body."""

    def __init__(self, task: StudentTask, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier
        self.own = nn.ModuleList(part for name, part in task.named_children() if name != "student")
        self._parts = task.parts  # a bound method: the body is neither trained nor given a gradient

    def forward(self, taken: tuple[list[Tensor], Tensor, DistillBatch], _progress: float) -> StepOutput:
        stages, pre_logits, batch = taken
        parts = self._parts(StudentAnswer(stages, pre_logits, _logits(self.classifier, pre_logits)), batch, 0.0)
        loss = sum((w * part for w, part in parts.values()), start=torch.zeros((), device=pre_logits.device))
        return StepOutput(loss, {name: part.detach() for name, (_, part) in parts.items()})
