"""FixMatch: what counts as a label, and a real run that trains with it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from app.domain.spec import TrainingSpec
from tests.unit.worker.training.conftest import Outcome
from worker.training.data.views import CHANGE_NUMBERS
from worker.training.methods.fixmatch import FixMatchTask
from worker.training.methods.task import DistillBatch, Setting
from worker.training.models.networks import StudentAnswer, build_student

UNKNOWN = -1


def task(class_weights_K: torch.Tensor | None = None, **options: float) -> FixMatchTask:
    spec = TrainingSpec(student="test_resnet", method="fixmatch", image_size=32, distill=options)
    torch.manual_seed(0)
    return FixMatchTask(Setting(spec, build_student("test_resnet", 3, 32), class_weights_K=class_weights_K))


def batch(labels: list[int], guesses: torch.Tensor | None = None) -> DistillBatch:
    images, numbers = torch.rand(len(labels), 3, 32, 32), torch.rand(len(labels), CHANGE_NUMBERS)
    return DistillBatch(images, numbers, torch.tensor(labels), None, guesses)


def answer(logits: torch.Tensor) -> StudentAnswer:
    return StudentAnswer([], torch.zeros(len(logits), 1), logits)


def test_a_guess_counts_where_it_is_sure_and_the_image_has_no_label() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 3)
    sure, unsure = torch.tensor([9.0, 0, 0]), torch.tensor([1.0, 0, 0])
    told = batch([1, UNKNOWN, UNKNOWN, UNKNOWN], torch.stack([sure, sure, unsure, sure.roll(2)]))
    parts = task().parts(answer(logits), told, 0.0)
    torch.testing.assert_close(parts["ce"][1], F.cross_entropy(logits[:1], torch.tensor([1])))
    expected = F.cross_entropy(logits[[1, 3]], torch.tensor([0, 2]), reduction="sum") / 3
    torch.testing.assert_close(parts["guessed"], (1.0, expected))
    torch.testing.assert_close(parts["sure"], (0.0, torch.tensor(2 / 3)))


def test_weighs_the_labels_by_class() -> None:
    torch.manual_seed(0)
    logits, weights = torch.randn(4, 3), torch.tensor([0.5, 1.0, 2.0])
    parts = task(weights).parts(answer(logits), batch([0, 2, UNKNOWN, UNKNOWN]), 0.0)
    each = F.cross_entropy(logits[:2], torch.tensor([0, 2]), reduction="none")
    torch.testing.assert_close(parts["ce"][1], (0.5 * each[0] + 2.0 * each[1]) / 2)


def test_its_options_are_the_threshold_and_the_weight() -> None:
    told = batch([UNKNOWN], torch.tensor([[1.0, 0, 0]]))
    parts = task(threshold=0.4, unlabelled_weight=0.5).parts(answer(torch.zeros(1, 3)), told, 0.0)
    torch.testing.assert_close(parts["guessed"], (0.5, torch.tensor(3.0).log()))
    assert float(parts["ce"][1]) == 0


def test_learns_from_its_guess_on_another_view() -> None:
    learner = task(threshold=0.0)
    told = batch([UNKNOWN] * 8)
    output = learner(told, 0.0)
    output.loss.backward()
    assert any(parameter.grad.abs().max() > 0 for parameter in learner.parameters() if parameter.grad is not None)
    assert {"ce", "guessed", "sure"} == output.parts.keys()
    assert float(output.parts["sure"]) == 1
    # the plain views of the same images, guessed once more: their cross-entropy would be lower, as they are what it saw
    plain = learner.student.answer(told.images_BCHW).logits.detach()
    assert float(output.parts["guessed"]) > float(F.cross_entropy(plain, plain.argmax(1)))


def test_without_an_unlabelled_image_only_the_labels_teach() -> None:
    output = task()(batch([0, 1, 2, 0]), 0.0)
    assert output.parts.keys() == {"ce"}


def test_a_run_trains_with_it_on_labelled_and_unlabelled_images(
    spec: Callable[..., TrainingSpec], run_training: Callable[..., Outcome], shapes: Path, tmp_path: Path
) -> None:
    options = {"image_steps": 64, "batch_size": 16, "threshold": 0.3, "label_share": 0.5}
    outcome = run_training(spec(method="fixmatch", teacher=None, distill=options), shapes, tmp_path)
    points = [line.values for line in outcome.lines if line.type == "metric" and "guessed" in line.values]
    assert points and max(values["sure"] for values in points) > 0
    assert points[-1]["loss"] == pytest.approx(points[-1]["ce"] + points[-1]["guessed"], rel=1e-4)
