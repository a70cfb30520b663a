"""The images behind each cell of a confusion matrix, so that one can look at what is mistaken for what.

N images, K classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.domain.evaluation import IMAGES_PER_CELL, LISTED_CELLS, LISTED_IMAGES, Answer, ConfusionCell, JudgedImage

Floats = npt.NDArray[np.float64]

_AT_ONCE = 2**22
"""Logits that are worked on together: with thousands of classes a copy of all of them takes gigabytes."""


def blocks(logits_NK: npt.NDArray[Any]) -> Iterator[tuple[slice, Floats]]:
    """Some rows at a time, in float64, with their place."""
    rows = max(1, _AT_ONCE // logits_NK.shape[1])
    for start in range(0, len(logits_NK), rows):
        yield slice(start, start + rows), logits_NK[start : start + rows].astype(np.float64)


def softmax(logits_NK: Floats) -> tuple[Floats, Floats]:
    """Probabilities and their natural logarithms, both [N, K]."""
    shifted_NK = logits_NK - logits_NK.max(1, keepdims=True)
    log_NK = shifted_NK - np.log(np.exp(shifted_NK).sum(1, keepdims=True))
    return np.exp(log_NK), log_NK


def confusion_cells(
    paths: Sequence[str],
    labels_N: npt.NDArray[np.integer[Any]],
    classes: Sequence[str],
    logits: Mapping[str, npt.NDArray[Any] | None],
    *,
    per_cell: int = IMAGES_PER_CELL,
    at_most: int = LISTED_IMAGES,
) -> tuple[ConfusionCell, ...]:
    """The cells that have images, at most 10,000: confusions, the most frequent first, then right answers by class.

    Args:
        paths: [N], what the user calls the images.
        logits: of `student`, `teacher` and `probe`, each [N, K] or None. The first there is makes the matrix.
        at_most: images listed in all.
    """
    assert len(paths) == len(labels_N)
    answers = {
        who: _answers(logits_NK, classes) if logits_NK is not None else [None] * len(paths)
        for who, logits_NK in logits.items()
    }
    main_NK = next(logits_NK for logits_NK in logits.values() if logits_NK is not None)
    predicted_N, sure_N = main_NK.argmax(1), _top_probability(main_NK)
    found: dict[tuple[int, int], list[int]] = {}
    for row in np.argsort(-sure_N, kind="stable"):
        found.setdefault((int(labels_N[row]), int(predicted_N[row])), []).append(int(row))
    order = sorted(found, key=lambda cell: (cell[0] == cell[1], -len(found[cell]) if cell[0] != cell[1] else 0, cell))
    order = order[:LISTED_CELLS]
    shares = _shares([min(len(found[cell]), per_cell) for cell in order], at_most)
    return tuple(
        ConfusionCell(
            label=classes[label],
            predicted=classes[predicted],
            count=len(found[label, predicted]),
            images=tuple(
                JudgedImage(
                    path=paths[row], label=classes[label], **{who: given[row] for who, given in answers.items()}
                )
                for row in found[label, predicted][:listed]
            ),
        )
        for (label, predicted), listed in zip(order, shares, strict=True)
    )


def _answers(logits_NK: npt.NDArray[Any], classes: Sequence[str]) -> list[Answer | None]:
    # as the networks compute them: in float32 no more than seven digits mean anything
    return [
        Answer(answer=classes[best], probability=round(float(sure), 7))
        for best, sure in zip(logits_NK.argmax(1), _top_probability(logits_NK), strict=True)
    ]


def _top_probability(logits_NK: npt.NDArray[Any]) -> Floats:
    """[N]"""
    return np.concatenate([softmax(block_BK)[0].max(1) for _, block_BK in blocks(logits_NK)])


def _shares(wanted: Sequence[int], at_most: int) -> list[int]:
    """How many images each cell lists: a first one for all, as far as they go, then a second one, and so on."""
    shares = [0] * len(wanted)
    left = at_most
    for turn in range(max(wanted, default=0)):
        for cell, most in enumerate(wanted):
            if left and turn < most:
                shares[cell] += 1
                left -= 1
    return shares
