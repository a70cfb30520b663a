"""The losses of both stages.

B batch, K classes, D proxy width, C and W widths of other features. KL, softmax, correlations, distances and Gram
matrices are computed in float32.
"""

import torch.nn.functional as F
from torch import Tensor


def kd(teacher_logits_BK: Tensor, student_logits_BK: Tensor, temperature: float) -> Tensor:
    """T² · KL(softmax(teacher/T) ‖ softmax(student/T)), mean over the batch (Hinton et al., 2015)."""
    target = F.log_softmax(teacher_logits_BK.float() / temperature, 1)
    answer = F.log_softmax(student_logits_BK.float() / temperature, 1)
    return temperature**2 * F.kl_div(answer, target, reduction="batchmean", log_target=True)


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
