"""How good a predictor is, in the numbers a user decides by, and several predictors side by side.

N images, K classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from app.domain.dataset import Split
from app.domain.errors import NonFiniteLoss
from app.domain.evaluation import (
    BINS,
    MATRIX_CLASSES,
    Calibration,
    ClassScore,
    Evaluation,
    Interval,
    Majority,
    PairedDifference,
    PredictorScores,
    ReliabilityBin,
)
from app.domain.intervals import mcnemar, newcombe, wilson
from worker.training.evaluation.confusions import blocks, confusion_cells, softmax

Logits = npt.NDArray[Any] | Tensor

TOP = 5


def compare(
    *,
    split: Split,
    classes: Sequence[str],
    labels: npt.NDArray[np.integer[Any]],
    train_labels: npt.NDArray[np.integer[Any]],
    student: Logits | None,
    teacher: Logits | None = None,
    probe: Logits | None = None,
    paths: Sequence[str] = (),
) -> dict[str, Any]:
    """The content of `evaluation.json`, an `Evaluation` as plain JSON types.

    Args:
        labels: [N], of the evaluated split.
        train_labels: of the labelled training images; they decide the majority class.
        student, teacher, probe: logits [N, K] on the same images; None where the method has no such predictor.
        paths: [N], what the user calls the images; without them none is listed.

    Raises:
        NonFiniteLoss: a predictor's logits are not numbers.
    """
    note = None
    if split is not Split.TEST:
        note = f"There is no test split: these are the {split} images, which training has used, so expect less."
    given = {"student": student, "teacher": teacher, "probe": probe}
    logits = {who: None if values is None else as_array(values) for who, values in given.items()}
    scores = {who: None if values is None else score(values, labels, classes) for who, values in logits.items()}
    evaluation = Evaluation(
        split=split,
        note=note,
        images=len(labels),
        classes=tuple(classes),
        class_count=len(classes),
        **scores,
        majority=_majority(labels, train_labels, classes),
        paired=_paired(labels, train_labels, logits),
        cells=confusion_cells(paths, labels, classes, logits) if len(paths) else (),
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
    logits_NK = as_array(logits)
    labels_N = as_array(labels).astype(np.int64)
    images, count = logits_NK.shape
    assert images == len(labels_N) > 0 and count == len(classes)
    if not np.isfinite(logits_NK).all():
        raise NonFiniteLoss(
            "The network's outputs on the evaluation images are not numbers.", hint="Lower the learning rate."
        )
    predicted_N = logits_NK.argmax(1)
    per_class = _per_class(labels_N, predicted_N, classes)
    correct = int((labels_N == predicted_N).sum())
    in_top = _in_top(logits_NK, labels_N) if count > TOP else None
    return PredictorScores(
        top1=correct / images,
        top1_interval=wilson(correct, images),
        top5=None if in_top is None else in_top / images,
        top5_interval=None if in_top is None else wilson(in_top, images),
        macro_f1=float(np.mean([item.f1 for item in per_class if item.support])),
        per_class=per_class,
        confusion=_matrix(labels_N, predicted_N, count) if count <= MATRIX_CLASSES else None,
        calibration=_calibration(logits_NK, labels_N),
    )


def as_array(values: Logits) -> npt.NDArray[Any]:
    """On whatever device they are."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _matrix(
    labels_N: npt.NDArray[np.int64], predicted_N: npt.NDArray[np.int64], count: int
) -> tuple[tuple[int, ...], ...]:
    confusion_KK = np.zeros((count, count), np.int64)
    np.add.at(confusion_KK, (labels_N, predicted_N), 1)
    return tuple(tuple(int(cell) for cell in row) for row in confusion_KK)


def _per_class(
    labels_N: npt.NDArray[np.int64], predicted_N: npt.NDArray[np.int64], classes: Sequence[str]
) -> tuple[ClassScore, ...]:
    hits, support, said = (
        np.bincount(values, minlength=len(classes))
        for values in (labels_N[labels_N == predicted_N], labels_N, predicted_N)
    )
    return tuple(
        ClassScore(
            name=name,
            precision=_ratio(hits[k], said[k]),
            recall=_ratio(hits[k], support[k]),
            f1=_ratio(2 * hits[k], said[k] + support[k]),
            support=int(support[k]),
            predicted=int(said[k]),
            precision_interval=_interval(hits[k], said[k]),
            recall_interval=_interval(hits[k], support[k]),
        )
        for k, name in enumerate(classes)
    )


def _ratio(part: np.int64, whole: np.int64) -> float:
    return float(part / whole) if whole else 0.0


def _interval(part: np.int64, whole: np.int64) -> Interval | None:
    return wilson(int(part), int(whole)) if whole else None


def _in_top(logits_NK: npt.NDArray[Any], labels_N: npt.NDArray[np.int64]) -> int:
    """Images whose label is among the five classes of the highest logits."""
    found = 0
    for rows, block_BK in blocks(logits_NK):
        order_BK = np.argsort(-block_BK, axis=1, kind="stable")  # stable: ties are broken as argmax breaks them
        found += int((order_BK[:, :TOP] == labels_N[rows, None]).any(1).sum())
    return found


def _calibration(logits_NK: npt.NDArray[Any], labels_N: npt.NDArray[np.int64]) -> Calibration:
    confidence_N, nll_N, brier_N = (np.empty(len(labels_N)) for _ in range(3))
    for rows, block_BK in blocks(logits_NK):
        probability_BK, log_BK = softmax(block_BK)
        truth_B = np.arange(len(block_BK)), labels_N[rows]
        confidence_N[rows], nll_N[rows] = probability_BK.max(1), -log_BK[truth_B]
        probability_BK[truth_B] -= 1
        brier_N[rows] = (probability_BK**2).sum(1)
    correct_N = logits_NK.argmax(1) == labels_N
    bin_N = np.clip(np.ceil(confidence_N * BINS).astype(int) - 1, 0, BINS - 1)  # bins (i/15, (i+1)/15]
    images_B, sure_B, right_B = (
        np.bincount(bin_N, weights=values_N, minlength=BINS)
        for values_N in (np.ones_like(confidence_N), confidence_N, correct_N.astype(np.float64))
    )
    return Calibration(
        ece=float(np.abs(right_B - sure_B).sum() / len(labels_N)),
        nll=float(nll_N.mean()),
        brier=float(brier_N.mean()),
        bins=tuple(
            ReliabilityBin(
                low=place / BINS,
                high=(place + 1) / BINS,
                images=int(images),
                confidence=float(sure / images) if images else None,
                accuracy=float(right / images) if images else None,
                accuracy_interval=wilson(int(right), int(images)) if images else None,
            )
            for place, (images, sure, right) in enumerate(zip(images_B, sure_B, right_B, strict=True))
        ),
    )


def _majority(
    labels_N: npt.NDArray[np.integer[Any]], train_labels: npt.NDArray[np.integer[Any]], classes: Sequence[str]
) -> Majority:
    commonest = _commonest(train_labels)
    correct = int((labels_N == commonest).sum())
    return Majority(name=classes[commonest], top1=correct / len(labels_N), top1_interval=wilson(correct, len(labels_N)))


def _paired(
    labels_N: npt.NDArray[np.integer[Any]],
    train_labels: npt.NDArray[np.integer[Any]],
    logits: Mapping[str, npt.NDArray[Any] | None],
) -> tuple[PairedDifference, ...]:
    """Of the first there is, against all others and the majority class."""
    right = {who: logits_NK.argmax(1) == labels_N for who, logits_NK in logits.items() if logits_NK is not None}
    right["majority"] = labels_N == _commonest(train_labels)
    (_, this_N), *others = right.items()
    differences = []
    for name, other_N in others:
        both, neither = int((this_N & other_N).sum()), int((~this_N & ~other_N).sum())
        only_this, only_other = int((this_N & ~other_N).sum()), int((~this_N & other_N).sum())
        differences.append(
            PairedDifference(
                other=name,
                difference=(only_this - only_other) / len(labels_N),
                interval=newcombe(both, only_this, only_other, neither),
                only_this=only_this,
                only_other=only_other,
                p_value=mcnemar(only_this, only_other),
            )
        )
    return tuple(differences)


def _commonest(labels_N: npt.NDArray[np.integer[Any]]) -> int:
    return int(np.bincount(labels_N).argmax())
