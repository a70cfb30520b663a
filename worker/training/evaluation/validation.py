"""How good a student is while it still learns. For the curves alone, and never on test images.

N images, K classes.
"""

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.domain.workload import AGREEMENT_IMAGES
from worker.training import losses
from worker.training.data.decoded import decode_squares
from worker.training.data.pools import Images
from worker.training.export.prediction import predict
from worker.training.models.networks import Student
from worker.training.prepare import INTERPOLATION
from worker.training.run import Run
from worker.training.teacher.task_teacher import TaskTeacher

_BATCH = 128

_Look = Callable[[nn.Module], tuple[Tensor, dict[str, float]]]


class Validator:
    """Looks at a student: its values for the curves."""

    def __init__(self, look: _Look) -> None:
        self._look = look
        self.seconds = 0.0
        """That looking has taken in all."""
        self.logits_NK: Tensor | None = None
        """Of the last student."""

    def __call__(self, student: nn.Module) -> dict[str, float]:
        began = time.monotonic()
        self.logits_NK, values = self._look(student)
        self.seconds += time.monotonic() - began
        return values


def student_logits(run: Run, student: nn.Module, squares_NHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[N, K], of the plain network in float32, as it will be exported."""
    assert isinstance(student, Student)
    mean, std = student.normalisation["mean"], student.normalisation["std"]
    return predict(student.network, squares_NHWC, mean=mean, std=std, batch_size=_BATCH, device=run.device)


def build_validator(run: Run, images: Images, task_teacher: TaskTeacher | None) -> Validator | None:
    """On validation images where there are any, else by agreement with the teacher, which needs no labels.

    None where there is neither.
    """
    if len(images.pools.val):
        return Validator(_on_validation(run, images))
    return None if task_teacher is None else Validator(_by_agreement(run, images, task_teacher))


def _on_validation(run: Run, images: Images) -> _Look:
    labels = torch.from_numpy(images.pools.val.labels)

    def look(student: nn.Module) -> tuple[Tensor, dict[str, float]]:
        logits = torch.from_numpy(student_logits(run, student, images.val_squares))
        return logits, {
            "val_accuracy": float(losses.accuracy(logits, labels)),
            "val_ce": float(F.cross_entropy(logits, labels)),
        }

    return look


def _by_agreement(run: Run, images: Images, task_teacher: TaskTeacher) -> _Look:
    pool = type(images.pools.training)(images.pools.training.samples[-AGREEMENT_IMAGES:])
    choices = task_teacher.answer(task_teacher.taps.clean(pool, run.data_dir, run.cache)).logits_BK.argmax(1).cpu()
    squares = decode_squares(
        run.data_dir, pool, run.spec.image_size, INTERPOLATION, run.cache, lambda fraction: None, run.stop_requested
    )
    images_u8 = squares[:]

    def look(student: nn.Module) -> tuple[Tensor, dict[str, float]]:
        logits = torch.from_numpy(student_logits(run, student, images_u8))
        return logits, {"teacher_agreement": float((logits.argmax(1) == choices).float().mean())}

    return look
