"""The answers of each predictor, image by image, beside what the evaluation counts."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.domain import answers as domain
from app.domain.answers import ANSWERS_NAME, read_answers
from app.domain.dataset import Sample, Split
from worker.training.evaluation import answers
from worker.training.evaluation.answers import save_answers
from worker.training.evaluation.metrics import score

CLASSES = ("cat", "dog", "eel")
SAMPLES = [
    Sample(id=f"{number:064x}", path=f"images/{number}.png", source=f"{number}.gif", split=Split.TEST, label=number % 3)
    for number in range(30)
]
LABELS = np.array([sample.label for sample in SAMPLES])
RNG = np.random.default_rng(0)


def read(folder: Path) -> list[domain.AnsweredImage]:
    with (folder / ANSWERS_NAME).open(encoding="utf-8", newline="") as file:
        return list(read_answers(file))


class TestSaveAnswers:
    def test_agrees_with_the_evaluation(self, tmp_path: Path) -> None:
        student, teacher = RNG.normal(size=(30, 3)), torch.from_numpy(RNG.normal(size=(30, 3)))
        save_answers(tmp_path, SAMPLES, CLASSES, {"student": student, "teacher": teacher, "probe": None})
        rows = read(tmp_path)
        assert [(row.image, row.path, row.split) for row in rows] == [(s.id, s.name, "test") for s in SAMPLES]
        assert [row.label for row in rows] == [CLASSES[label] for label in LABELS]
        for who, logits in (("student", student), ("teacher", teacher)):
            said = [getattr(row, who) for row in rows]
            right = np.mean([one.answer == row.label for one, row in zip(said, rows, strict=True)])
            assert right == pytest.approx(score(logits, LABELS, CLASSES).top1)
            most = torch.softmax(torch.as_tensor(logits), 1).amax(1).numpy()
            assert [one.probability for one in said] == pytest.approx(most, rel=1e-3)
        assert all(row.probe is None for row in rows)

    def test_lists_so_many_images_and_no_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(answers, "MOST_ANSWERS", 7)
        save_answers(tmp_path, SAMPLES, CLASSES, {"probe": RNG.normal(size=(30, 3))})
        rows = read(tmp_path)
        assert [row.image for row in rows] == [sample.id for sample in SAMPLES[:7]]
        assert all(row.student is None and row.probe is not None for row in rows)
