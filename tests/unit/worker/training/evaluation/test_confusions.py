"""A confusion matrix of eight images, worked out by hand."""

import numpy as np

from worker.training.evaluation.confusions import confusion_cells

CLASSES = ("cat", "dog", "cow")
LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])
PATHS = [f"{number}.png" for number in range(8)]
ANSWERS = [0, 1, 1, 1, 1, 0, 2, 2]
SURE = [0.9, 0.5, 0.8, 0.6, 0.7, 0.95, 0.6, 0.7]


def logits(answers: list[int], sure: list[float]) -> np.ndarray:
    """The rest is divided among the others."""
    rows = [[p if k == answer else (1 - p) / 2 for k in range(3)] for answer, p in zip(answers, sure, strict=True)]
    return np.log(np.array(rows))


STUDENT = logits(ANSWERS, SURE)
TEACHER = logits([0, 0, 1, 0, 1, 1, 2, 2], [0.99] * 8)


class TestCells:
    def test_confusions_come_first_the_most_frequent_ahead(self) -> None:
        cells = confusion_cells(PATHS, LABELS, CLASSES, {"student": STUDENT, "teacher": TEACHER, "probe": None})
        assert [(cell.label, cell.predicted, cell.count) for cell in cells] == [
            ("cat", "dog", 3),
            ("dog", "cat", 1),
            ("cat", "cat", 1),
            ("dog", "dog", 1),
            ("cow", "cow", 2),
        ]

    def test_list_the_surest_first_with_everybodys_answers(self) -> None:
        first = confusion_cells(PATHS, LABELS, CLASSES, {"student": STUDENT, "teacher": TEACHER, "probe": None})[0]
        assert [image.path for image in first.images] == ["2.png", "3.png", "1.png"]
        image = first.images[1]
        assert image.student is not None and image.teacher is not None
        assert (image.label, image.student.answer, image.student.probability) == ("cat", "dog", 0.6)
        assert (image.teacher.answer, image.teacher.probability) == ("cat", 0.99)
        assert image.probe is None

    def test_list_so_many_a_cell_and_count_all(self) -> None:
        cells = confusion_cells(PATHS, LABELS, CLASSES, {"student": STUDENT}, per_cell=2)
        assert [(cell.count, len(cell.images)) for cell in cells] == [(3, 2), (1, 1), (1, 1), (1, 1), (2, 2)]

    def test_list_one_of_each_before_a_second_of_any(self) -> None:
        cells = confusion_cells(PATHS, LABELS, CLASSES, {"student": STUDENT}, at_most=6)
        assert [len(cell.images) for cell in cells] == [2, 1, 1, 1, 1]
        cells = confusion_cells(PATHS, LABELS, CLASSES, {"student": STUDENT}, at_most=3)
        assert [len(cell.images) for cell in cells] == [1, 1, 1, 0, 0]
