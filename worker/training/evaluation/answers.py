"""Write what each predictor answered to each image of the evaluation.

N images, K classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy.typing as npt

from app.domain.answers import ANSWERS_NAME, MOST_ANSWERS, AnsweredImage, Said, write_answers
from app.domain.dataset import Sample
from app.domain.files import replaced_atomically
from worker.training.evaluation.confusions import blocks, softmax
from worker.training.evaluation.metrics import Logits, as_array


def save_answers(
    folder: Path, samples: Sequence[Sample], classes: Sequence[str], logits: Mapping[str, Logits | None]
) -> None:
    """Write `answers.csv` into `folder`, whole or not at all.

    Args:
        samples: [N], in the order of their ids.
        logits: of `student`, `teacher` and `probe`, each [N, K] or None.
    """
    listed = samples[:MOST_ANSWERS]
    said = {
        who: iter(_said(as_array(values[: len(listed)]), classes)) if values is not None else None
        for who, values in logits.items()
    }

    def next_of(who: str) -> Said | None:
        answers = said.get(who)
        return None if answers is None else next(answers)

    rows = (
        AnsweredImage(
            sample.id,
            sample.name,
            sample.split.value,
            classes[sample.label] if sample.label is not None else "",
            next_of("student"),
            next_of("teacher"),
            next_of("probe"),
        )
        for sample in listed
    )
    with replaced_atomically(folder / ANSWERS_NAME) as temporary, _open(temporary) as file:
        write_answers(file, rows)


def _open(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", newline="")


def _said(logits_NK: npt.NDArray[Any], classes: Sequence[str]) -> Iterator[Said]:
    for _, block_BK in blocks(logits_NK):
        probability_BK, _ = softmax(block_BK)
        # the argmax of the logits, as the evaluation counts: equal probabilities may hide a difference of logits
        chosen_B = block_BK.argmax(1)
        for row, chosen in enumerate(chosen_B.tolist()):
            yield Said(classes[chosen], float(probability_BK[row, chosen]))
