"""`rkd`: distances and angles between the images of a batch are matched (Park et al., arXiv 1904.05068).

B batch, C and W widths of features.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, StrictFloat
from torch import Tensor

from worker.training.methods.kd import READS, KdConfig, KdTask
from worker.training.methods.task import DistillBatch, MethodConfig, Parts, Setting, method, pre_logits_tap
from worker.training.models.networks import StudentAnswer

_MOST_ANGLE_IMAGES = 128
"""Angles grow with the cube of the batch; from here on a part of it stands for the whole."""
_SMALLEST_DISTANCE = 1e-4
"""Shorter than this, a direction counts for less: the gradient at two images that coincide would be endless."""


class RkdConfig(KdConfig):
    """The own options of `rkd`; the defaults are those published."""

    distance_weight: StrictFloat = Field(default=25.0, ge=0, le=1000)
    """Weight of the pairwise distances."""
    angle_weight: StrictFloat = Field(default=50.0, ge=0, le=1000)
    """Weight of the angles of each three images."""


class RkdTask(KdTask):
    """`kd` + distances and angles between the images of a batch.

    Compared in the student's pre-logits space and in the teacher's standardised one, so their widths may differ.
    """

    Config: ClassVar[type[MethodConfig]] = RkdConfig
    options: RkdConfig

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._width = setting.tap_widths[-1]

    def parts(self, answer: StudentAnswer, batch: DistillBatch, progress: float) -> Parts:
        teacher = pre_logits_tap(batch, self._width)
        return super().parts(answer, batch, progress) | {
            "distance": (self.options.distance_weight, relative_distances(answer.pre_logits, teacher)),
            "angle": (self.options.angle_weight, angles(answer.pre_logits, teacher)),
        }


def relative_distances(student_BC: Tensor, teacher_BW: Tensor) -> Tensor:
    """Huber distance of the batch's pairwise distances, each side scaled to a mean of 1 (Park et al., 2019).

    0 for the same geometry up to rotation, offset and scale.
    """
    student, teacher = (torch.pdist(x.float()) for x in (student_BC, teacher_BW))
    return F.smooth_l1_loss(student / (student.mean() + 1e-8), teacher / (teacher.mean() + 1e-8))


def angles(student_BC: Tensor, teacher_BW: Tensor) -> Tensor:
    """Huber distance of the cosines of all angles that three images of the batch form (Park et al., 2019).

    0 for the same geometry up to rotation, offset and scale. At most the batch's first 128 images take part.
    """
    return F.smooth_l1_loss(_angle_cosines(student_BC), _angle_cosines(teacher_BW))


def _angle_cosines(x_BC: Tensor) -> Tensor:
    """[j, i, k]: the cosine at image j between the directions to i and to k; 0 where two of them coincide."""
    x = x_BC[:_MOST_ANGLE_IMAGES].float()
    directions = F.normalize(x[None] - x[:, None], dim=2, eps=_SMALLEST_DISTANCE)
    return directions @ directions.transpose(1, 2)


METHODS = (
    method(
        RkdTask,
        "rkd",
        "`kd`, and distances and angles between the images of a batch are matched.",
        paper="Park et al., 2019, arXiv 1904.05068",
        needs_taps=True,
        reads=READS,
    ),
)
