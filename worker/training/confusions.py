"""The images behind each cell of a confusion matrix, so that one can look at what is mistaken for what.

N images, K classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.domain.evaluation import IMAGES_PER_CELL, LISTED_IMAGES, Answer, ConfusionCell, JudgedImage

Floats = npt.NDArray[np.float64]


def softmax(logits_NK: Floats) -> tuple[Floats, Floats]:
    """Probabilities and their natural logarithms, both [N, K]."""
    shifted_NK = logits_NK - logits_NK.max(1, keepdims=True)
    log_NK = shifted_NK - np.log(np.exp(shifted_NK).sum(1, keepdims=True))
    return np.exp(log_NK), log_NK


def confusion_cells(
    paths: Sequence[str],
    labels_N: npt.NDArray[np.integer[Any]],
    classes: Sequence[str],
    logits: Mapping[str, Floats | None],
    *,
    per_cell: int = IMAGES_PER_CELL,
    at_most: int = LISTED_IMAGES,
) -> tuple[ConfusionCell, ...]:
    """The cells that have images: confusions, the most frequent first, then right answers by class.

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
    predicted_N, sure_N = main_NK.argmax(1), softmax(main_NK)[0].max(1)
    found: dict[tuple[int, int], list[int]] = {}
    for row in np.argsort(-sure_N, kind="stable"):
        found.setdefault((int(labels_N[row]), int(predicted_N[row])), []).append(int(row))
    order = sorted(found, key=lambda cell: (cell[0] == cell[1], -len(found[cell]) if cell[0] != cell[1] else 0, cell))
    room = _room([min(len(found[cell]), per_cell) for cell in order], at_most)
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
        for (label, predicted), listed in zip(order, room, strict=True)
    )


def _answers(logits_NK: Floats, classes: Sequence[str]) -> list[Answer | None]:
    probability_NK, _ = softmax(logits_NK)
    # as the networks compute them: in float32 no more than seven digits mean anything
    return [
        Answer(answer=classes[best], probability=round(float(row_K[best]), 7))
        for best, row_K in zip(logits_NK.argmax(1), probability_NK, strict=True)
    ]


def _room(wanted: Sequence[int], at_most: int) -> list[int]:
    """How many images each cell lists: a first one for all, as far as they go, then a second one, and so on."""
    room = [0] * len(wanted)
    left = at_most
    for turn in range(max(wanted, default=0)):
        for cell, most in enumerate(wanted):
            if left and turn < most:
                room[cell] += 1
                left -= 1
    return room
