"""How good a predictor is, in the numbers a user decides by, and several predictors side by side.

N images, K classes.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from app.domain.base import Frozen
from app.domain.dataset import Split
from app.domain.errors import NonFiniteLoss
from worker.training.export.inputs import normalise

Logits = npt.NDArray[Any] | Tensor

BINS = 15
"""Of the expected calibration error (Guo et al., 2017)."""
TOP = 5
_Z95 = 1.959963984540054


class ClassScore(Frozen):
    """One class against the rest. A ratio without a denominator is 0, as usual; `support` tells."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    """Images of this class."""


class Calibration(Frozen):
    """How far the softmax can be taken at its word."""

    ece: float
    """Expected calibration error, 15 equal bins of the top confidence; 0 is best."""
    nll: float
    """Mean negative log-likelihood of the true class, in nats."""
    brier: float
    """Mean over images of the squared distance between the probabilities and the truth, summed over classes: 0..2."""


class PredictorScores(Frozen):
    """One predictor on one split."""

    top1: float
    top1_interval: tuple[float, float]
    """Wilson's 95 % interval for `top1`, from the number of images alone: training another seed may vary more."""
    top5: float | None
    """None with five classes or fewer."""
    macro_f1: float
    """Mean F1 over the classes that have images."""
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows are the truth, columns the prediction."""
    calibration: Calibration


class Majority(Frozen):
    """What saying the training split's most frequent class to every image achieves: the floor of all floors."""

    name: str
    top1: float


class Evaluation(Frozen):
    """`evaluation.json`: the student beside what it learned from."""

    split: Split
    note: str | None
    images: int
    classes: tuple[str, ...]
    student: PredictorScores | None
    """None for `probe`, which trains none."""
    teacher: PredictorScores | None
    """The reprogrammed teacher."""
    probe: PredictorScores | None
    """A linear probe on the frozen teacher."""
    majority: Majority


def predict(
    model: nn.Module,
    images_NHWC: npt.NDArray[np.uint8],
    mean: Sequence[float],
    std: Sequence[float],
    *,
    batch_size: int,
    device: torch.device | str,
) -> npt.NDArray[np.float32]:
    """Logits [N, K] of a network that takes normalised NCHW images and already lies on `device`.

    Runs in eval mode in float32; every submodule's own mode is restored. `images_NHWC` may be memory-mapped.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            batches = [
                model(torch.from_numpy(normalise(images_NHWC[start : start + batch_size], mean, std)).to(device))
                .float()
                .cpu()
                .numpy()
                for start in range(0, len(images_NHWC), batch_size)
            ]
    finally:
        for module, training in modes:
            module.training = training
    return np.concatenate(batches)


def evaluation_split(splits: Collection[Split]) -> Split:
    """The least used of the splits that have images: test, else val, else train."""
    return next(split for split in (Split.TEST, Split.VAL, Split.TRAIN) if split in splits)


def compare(
    *,
    split: Split,
    classes: Sequence[str],
    labels: npt.NDArray[np.integer[Any]],
    train_labels: npt.NDArray[np.integer[Any]],
    student: Logits | None,
    teacher: Logits | None = None,
    probe: Logits | None = None,
) -> dict[str, Any]:
    """The content of `evaluation.json`, an `Evaluation` as plain JSON types.

    Args:
        labels: [N], of the evaluated split.
        train_labels: of the labelled training images; they decide the majority class.
        student, teacher, probe: logits [N, K] on the same images; None where the method has no such predictor.

    Raises:
        NonFiniteLoss: a predictor's logits are not numbers.
    """
    note = None
    if split is not Split.TEST:
        note = f"There is no test split: these are the {split} images, which training has used, so expect less."
    evaluation = Evaluation(
        split=split,
        note=note,
        images=len(labels),
        classes=tuple(classes),
        student=None if student is None else score(student, labels, classes),
        teacher=None if teacher is None else score(teacher, labels, classes),
        probe=None if probe is None else score(probe, labels, classes),
        majority=_majority(labels, train_labels, classes),
    )
    return evaluation.model_dump(mode="json")


def accuracies(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Top-1 by name, of everybody in an `evaluation.json`: the metrics that a run ends with."""
    who = ("student", "teacher", "probe", "majority")
    return {f"{name}_accuracy": evaluation[name]["top1"] for name in who if evaluation[name] is not None}


def score(logits: Logits, labels: npt.NDArray[np.integer[Any]] | Tensor, classes: Sequence[str]) -> PredictorScores:
    """Every figure of one predictor from its logits [N, K] and the true labels [N], computed in float64.

    Raises:
        NonFiniteLoss: the logits are not numbers.
    """
    logits_NK = _array(logits).astype(np.float64)
    labels_N = _array(labels).astype(np.int64)
    images, count = logits_NK.shape
    assert images == len(labels_N) > 0 and count == len(classes)
    if not np.isfinite(logits_NK).all():
        raise NonFiniteLoss(
            "The network's outputs on the evaluation images are not numbers.", hint="Lower the learning rate."
        )
    predicted_N = logits_NK.argmax(1)
    confusion_KK = np.zeros((count, count), np.int64)
    np.add.at(confusion_KK, (labels_N, predicted_N), 1)
    per_class = _per_class(confusion_KK, classes)
    correct = int(np.trace(confusion_KK))
    return PredictorScores(
        top1=correct / images,
        top1_interval=wilson(correct, images),
        top5=_top(logits_NK, labels_N) if count > TOP else None,
        macro_f1=float(np.mean([item.f1 for item in per_class if item.support])),
        per_class=per_class,
        confusion=tuple(tuple(int(cell) for cell in row) for row in confusion_KK),
        calibration=_calibration(logits_NK, labels_N),
    )


def wilson(correct: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % score interval (1927): unlike the normal one it stays in 0..1 and has a width at 100 %."""
    share, z2 = correct / total, _Z95**2
    centre = share + z2 / (2 * total)
    half = _Z95 * np.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    low, high = (centre - half) / (1 + z2 / total), (centre + half) / (1 + z2 / total)
    # at 0 and at 100 % the ends meet 0 and 1 exactly, but for rounding
    return (0.0 if correct == 0 else float(low), 1.0 if correct == total else float(high))


def _array(values: Logits) -> npt.NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _per_class(confusion_KK: npt.NDArray[np.int64], classes: Sequence[str]) -> tuple[ClassScore, ...]:
    hits, support, said = np.diag(confusion_KK), confusion_KK.sum(1), confusion_KK.sum(0)
    return tuple(
        ClassScore(
            name=name,
            precision=_ratio(hits[k], said[k]),
            recall=_ratio(hits[k], support[k]),
            f1=_ratio(2 * hits[k], said[k] + support[k]),
            support=int(support[k]),
        )
        for k, name in enumerate(classes)
    )


def _ratio(part: np.int64, whole: np.int64) -> float:
    return float(part / whole) if whole else 0.0


def _top(logits_NK: npt.NDArray[np.float64], labels_N: npt.NDArray[np.int64]) -> float:
    order_NK = np.argsort(-logits_NK, axis=1, kind="stable")  # stable: ties are broken as argmax breaks them
    return float((order_NK[:, :TOP] == labels_N[:, None]).any(1).mean())


def _calibration(logits_NK: npt.NDArray[np.float64], labels_N: npt.NDArray[np.int64]) -> Calibration:
    shifted_NK = logits_NK - logits_NK.max(1, keepdims=True)
    log_NK = shifted_NK - np.log(np.exp(shifted_NK).sum(1, keepdims=True))
    probability_NK = np.exp(log_NK)
    rows = np.arange(len(labels_N))
    truth_NK = np.zeros_like(probability_NK)
    truth_NK[rows, labels_N] = 1
    confidence_N = probability_NK.max(1)
    correct_N = logits_NK.argmax(1) == labels_N
    bin_N = np.clip(np.ceil(confidence_N * BINS).astype(int) - 1, 0, BINS - 1)  # bins (i/15, (i+1)/15]
    gap_B = np.abs(np.bincount(bin_N, weights=correct_N - confidence_N, minlength=BINS))
    return Calibration(
        ece=float(gap_B.sum() / len(labels_N)),
        nll=float(-log_NK[rows, labels_N].mean()),
        brier=float(((probability_NK - truth_NK) ** 2).sum(1).mean()),
    )


def _majority(
    labels_N: npt.NDArray[np.integer[Any]], train_labels: npt.NDArray[np.integer[Any]], classes: Sequence[str]
) -> Majority:
    commonest = int(np.bincount(train_labels, minlength=len(classes)).argmax())
    return Majority(name=classes[commonest], top1=float((labels_N == commonest).mean()))
