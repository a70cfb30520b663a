"""What each predictor answered to each image of the evaluation: `answers.csv`, a file of a job.

One row an image, in the order of the images' SHA-256. It is what two jobs are compared by, image by image, and what a
cell of the confusion matrix is opened with.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TextIO

ANSWERS_NAME = "answers.csv"
MOST_ANSWERS = 100_000
"""Images listed, some 15 MB. Of more than these, the ones whose SHA-256 come first: a draw by chance, and the same one
in each job on the same images."""
PREDICTORS = ("student", "teacher", "probe")
COLUMNS = ("image", "path", "split", "label", *(name for who in PREDICTORS for name in (who, f"{who}_probability")))


class Said(NamedTuple):
    """A predictor's answer to one image."""

    answer: str
    probability: float
    """That it gives to its answer."""


class AnsweredImage(NamedTuple):
    """One row."""

    image: str
    """SHA-256 of the bytes that the user sent: the image's id in its data set."""
    path: str
    """As the user named it."""
    split: str
    label: str
    student: Said | None
    """None for `probe`, which trains none."""
    teacher: Said | None
    probe: Said | None


class NoAnswers(ValueError):
    """The file is none of ours."""


def write_answers(file: TextIO, rows: Iterable[AnsweredImage]) -> None:
    """As CSV with a header; open `file` with `newline=""`. A predictor that is not there has empty fields."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        said = [field for who in (row.student, row.teacher, row.probe) for field in _fields(who)]
        writer.writerow([row.image, row.path, row.split, row.label, *said])


def read_answers(file: TextIO) -> Iterator[AnsweredImage]:
    """
    Raises:
        NoAnswers: the file is not what `write_answers` writes.
    """
    lines = csv.reader(file, strict=True)
    try:
        header = next(lines, [])
        places = {name: header.index(name) for name in COLUMNS}  # a later version may have more columns
        for fields in lines:
            yield _row(fields, places)
    except (csv.Error, UnicodeError, ValueError, IndexError) as error:
        raise NoAnswers("this is no file of answers") from error


def _fields(said: Said | None) -> Sequence[Any]:
    return ("", "") if said is None else (said.answer, f"{said.probability:.4g}")


def _row(fields: Sequence[str], places: dict[str, int]) -> AnsweredImage:
    student, teacher, probe = (_said(fields[places[who]], fields[places[f"{who}_probability"]]) for who in PREDICTORS)
    image, path, split, label = (fields[places[name]] for name in COLUMNS[:4])
    return AnsweredImage(image, path, split, label, student, teacher, probe)


def _said(answer: str, probability: str) -> Said | None:
    if not probability:
        return None
    value = float(probability)
    if not math.isfinite(value):
        raise ValueError("a probability is a number")
    return Said(answer, value)
