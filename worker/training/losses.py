"""The losses of both stages.

B batch, K classes, D proxy width, C and W widths of other features. KL, softmax, correlations, distances and Gram
matrices are computed in float32.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_MOST_ANGLE_IMAGES = 128
"""Angles grow with the cube of the batch; from here on a part of it stands for the whole."""
_SMALLEST_DISTANCE = 1e-4
"""Shorter than this, a direction counts for less: the gradient at two images that coincide would be endless."""


def kd(teacher_logits_BK: Tensor, student_logits_BK: Tensor, temperature: float) -> Tensor:
    """T² · KL(softmax(teacher/T) ‖ softmax(student/T)), mean over the batch (Hinton et al., 2015)."""
    target = F.log_softmax(teacher_logits_BK.float() / temperature, 1)
    answer = F.log_softmax(student_logits_BK.float() / temperature, 1)
    return temperature**2 * F.kl_div(answer, target, reduction="batchmean", log_target=True)


class Decoupled(NamedTuple):
    """The two parts of KL(softmax(teacher/T) ‖ softmax(student/T)), each [B]; with p_t the teacher's probability of
    the target, KL = target + (1 − p_t) · others."""

    target: Tensor
    """KL of the target class against the rest, as a distribution over two."""
    others: Tensor
    """KL among the other classes, each distribution scaled to a sum of 1."""


def decoupled(teacher_logits_BK: Tensor, student_logits_BK: Tensor, target_B: Tensor, temperature: float) -> Decoupled:
    """The decoupling of DKD (Zhao et al., 2022, arXiv 2203.08679): TCKD and NCKD without T² and weights."""
    teacher = _target_and_others(teacher_logits_BK.float() / temperature, target_B)
    student = _target_and_others(student_logits_BK.float() / temperature, target_B)
    return Decoupled(*(_kl(t, s) for t, s in zip(teacher, student, strict=True)))


def _target_and_others(logits_BK: Tensor, target_B: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of (target, rest) [B, 2] and of the K − 1 other classes."""
    classes = logits_BK.shape[1]
    others = (target_B[:, None] + torch.arange(1, classes, device=target_B.device)) % classes
    target_B1, others_BK = logits_BK.gather(1, target_B[:, None]), logits_BK.gather(1, others)
    return torch.cat([target_B1, others_BK.logsumexp(1, keepdim=True)], 1), others_BK


def _kl(teacher_logits_BK: Tensor, student_logits_BK: Tensor) -> Tensor:
    teacher, student = F.log_softmax(teacher_logits_BK, 1), F.log_softmax(student_logits_BK, 1)
    return F.kl_div(student, teacher, reduction="none", log_target=True).sum(1)


def correlation_distance(a_BK: Tensor, b_BK: Tensor) -> Tensor:
    """1 − Pearson's correlation of the rows, mean over the rows; scale and offset of a row do not matter."""
    a, b = a_BK.float(), b_BK.float()
    return cosine_distance(a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True))


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


def labelled_cross_entropy(logits_BK: Tensor, labels_B: Tensor, weights_K: Tensor | None = None) -> Tensor:
    """Cross-entropy summed over the labelled images and divided by the whole batch; −1 marks the unlabelled.

    So a label weighs the same in every batch, however many of its neighbours carry one. `weights_K`, where given,
    multiplies each image's cross-entropy by the weight of its class.
    """
    ce = F.cross_entropy(logits_BK.float(), labels_B, weights_K, ignore_index=-1, reduction="sum")
    return ce / len(labels_B)


def relation(student_z_BD: Tensor, teacher_z_BD: Tensor) -> Tensor:
    """Root mean square difference of the batch's centred Gram matrices, each scaled to a mean square of 1.

    0 for the same geometry up to rotation and scale; its square is 2 − 2·CKA (Kornblith et al., 2019).
    """
    difference = _centred_gram(student_z_BD) - _centred_gram(teacher_z_BD)
    return (difference.square().mean() + 1e-8).sqrt()


def _centred_gram(z_BD: Tensor) -> Tensor:
    z = z_BD.float()
    z = z - z.mean(0, keepdim=True)
    gram = z @ z.T
    return gram / (gram.square().mean().sqrt() + 1e-8)


def cosine_distance(a_BD: Tensor, b_BD: Tensor) -> Tensor:
    """1 − cos, mean over the batch."""
    return (1 - F.cosine_similarity(a_BD.float(), b_BD.float(), dim=1)).mean()


def symmetric_kl(a_logits_BK: Tensor, b_logits_BK: Tensor) -> Tensor:
    """½[KL(a ‖ b) + KL(b ‖ a)] of the softmaxes, mean over the batch."""
    a, b = F.log_softmax(a_logits_BK.float(), 1), F.log_softmax(b_logits_BK.float(), 1)
    return 0.5 * ((a.exp() - b.exp()) * (a - b)).sum(1).mean()


def moments(a_BD: Tensor, b_BD: Tensor) -> Tensor:
    """‖mean_a − mean_b‖² + ‖Cov_a − Cov_b‖²_F (second-order alignment, Sun & Saenko, 2016)."""
    a, b = a_BD.float(), b_BD.float()
    means = (a.mean(0) - b.mean(0)).square().sum()
    return means + (_covariance(a) - _covariance(b)).square().sum()


def _covariance(x_BD: Tensor) -> Tensor:
    centred = x_BD - x_BD.mean(0, keepdim=True)
    return centred.T @ centred / max(1, len(x_BD) - 1)


def accuracy(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """Fraction of labelled images whose largest logit is the label."""
    labelled = labels_B >= 0
    return (logits_BK.argmax(1)[labelled] == labels_B[labelled]).float().mean()


def unit(x_BD: Tensor) -> Tensor:
    """Rows scaled to length 1, in float32."""
    return F.normalize(x_BD.float(), dim=1)
