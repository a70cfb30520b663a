from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from app.domain.progress import EventLine
from app.domain.spec import TrainingSpec
from app.domain.workload import MOST_HEAD_VIEWS, head_views
from tests.unit.worker.training.conftest import Outcome, image_folder
from tests.unit.worker.training.test_pipeline import weights_of
from worker.training.engine.loop import Stopped
from worker.training.methods.head_first import solve_head
from worker.training.methods.registry import METHODS
from worker.training.methods.task import DistillBatch, Setting, StudentTask
from worker.training.models.networks import Student, build_student

Specs = Callable[..., TrainingSpec]
Runs = Callable[..., Outcome]

PRETRAINED = "resnet10t.glyphs62"


def task_of(student: Student, method: str = "finetune") -> StudentTask:
    spec = TrainingSpec(student=PRETRAINED, method=method, image_size=32)
    kind = METHODS[method].task
    assert kind is not None
    return kind(Setting(spec, student))


def batch_at(step: int) -> DistillBatch:
    """Bars that lie, bars that stand, and squares, on a grey ground."""
    generator = torch.Generator().manual_seed(step)
    labels = torch.arange(16) % 3
    images = 0.3 + 0.1 * torch.rand(16, 3, 32, 32, generator=generator)
    for image, label in zip(images, labels, strict=True):
        height, width = ((6, 20), (20, 6), (13, 13))[label]
        y, x = (int(torch.randint(1, 32 - side, (), generator=generator)) for side in (height, width))
        image[:, y : y + height, x : x + width] = 1.0
    return DistillBatch(images, torch.rand(16, 3, generator=generator), labels, None, None)


@torch.no_grad()
def accuracy(student: Student) -> float:
    batches = [batch_at(step) for step in range(100, 106)]
    student.eval()
    right = [(student(batch.images_BCHW)[1].argmax(1) == batch.labels_B).float().mean() for batch in batches]
    return float(torch.stack(right).mean())


def test_the_classifier_knows_the_classes_and_the_body_is_what_it_was() -> None:
    torch.manual_seed(0)
    student = build_student(PRETRAINED, 3, 32, pretrained=True)
    before = {name: value.clone() for name, value in student.network.state_dict().items()}
    ignorant = accuracy(student)

    assert solve_head(task_of(student), batch_at, 240, 0)

    changed = {name for name, value in student.network.state_dict().items() if not value.equal(before[name])}
    assert changed == {"fc.weight", "fc.bias"}
    assert student.training
    assert accuracy(student) > max(0.8, ignorant + 0.3)
    assert all(parameter.requires_grad for parameter in student.parameters())


def test_a_classifier_that_is_a_convolution_learns_too() -> None:
    torch.manual_seed(0)
    student = build_student("dla46_c", 3, 32)
    before = {name: value.clone() for name, value in student.network.named_parameters()}
    assert solve_head(task_of(student), batch_at, 32, 0)
    assert {name for name, value in student.network.named_parameters() if not value.equal(before[name])} == {
        "fc.weight",
        "fc.bias",
    }


def test_is_the_same_for_the_same_seed() -> None:
    solved = []
    for _ in range(2):
        torch.manual_seed(0)
        student = build_student(PRETRAINED, 3, 32, pretrained=True)
        solve_head(task_of(student), batch_at, 64, 7)
        solved.append(student.network.state_dict()["fc.weight"])
    assert solved[0].equal(solved[1])


def test_a_student_that_ends_in_two_classifiers_is_left_as_it_is() -> None:
    torch.manual_seed(0)
    student = build_student("levit_128s", 3, 224)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    assert not solve_head(task_of(student), batch_at, 16, 0)
    assert all(value.equal(before[name]) for name, value in student.state_dict().items())


def test_a_stop_leaves_at_once() -> None:
    with pytest.raises(Stopped):
        solve_head(task_of(build_student(PRETRAINED, 3, 32, pretrained=True)), batch_at, 64, 0, lambda: True)


def test_small_budgets_take_few_views_and_large_ones_no_more_than_memory_holds() -> None:
    def views(image_steps: int, **changes: Any) -> int:
        distill = {"image_steps": image_steps, **changes}
        return head_views(
            TrainingSpec.model_validate({"student": PRETRAINED, "method": "finetune", "distill": distill})
        )

    assert [views(steps) for steps in (8, 8_000, 10**9)] == [1, 1_000, MOST_HEAD_VIEWS]
    assert views(8_000, head_first=False) == 0


class TestStatistics:
    def test_of_a_pretrained_student_stay_while_it_learns(self) -> None:
        student = build_student(PRETRAINED, 3, 32, pretrained=True)
        norms = [module for module in student.modules() if isinstance(module, nn.BatchNorm2d)]
        before = [norm.running_mean.clone() for norm in norms if norm.running_mean is not None]
        student.train()(batch_at(0).images_BCHW)[1].sum().backward()

        assert norms and not any(norm.training for norm in norms)
        assert all(norm.running_mean.equal(old) for norm, old in zip(norms, before, strict=True))  # type: ignore[union-attr]
        assert all(norm.weight.grad is not None for norm in norms)

    def test_of_a_random_one_are_its_own(self) -> None:
        student = build_student("test_resnet", 3, 32)
        norms = [module for module in student.modules() if isinstance(module, nn.BatchNorm2d)]
        assert norms and all(norm.training for norm in norms)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder with validation images."""
    return image_folder(tmp_path_factory.mktemp("judged"), train=4, val=4, test=2)


class TestJob:
    PRETRAINED_JOB: dict[str, Any] = {"student": PRETRAINED, "pretrained": True}

    def test_says_what_the_classifier_knows_alone(
        self, spec: Specs, run_training: Runs, tmp_path: Path, judged: Path
    ) -> None:
        for head_first in (True, False):
            distill = {"image_steps": 160, "batch_size": 16, "head_first": head_first}
            outcome = run_training(spec(**self.PRETRAINED_JOB, distill=distill), judged, tmp_path / str(head_first))
            told = [line.message for line in outcome.lines if isinstance(line, EventLine)]
            assert any("% of the validation images are right" in message for message in told) == head_first

    def test_stopped_in_the_middle_ends_with_the_same_student(
        self, spec: Specs, run_training: Runs, tmp_path: Path, judged: Path
    ) -> None:
        job = spec(**self.PRETRAINED_JOB, distill={"image_steps": 160, "batch_size": 16})
        straight = run_training(job, judged, tmp_path / "straight", checkpoint_seconds=0.0)
        run_training(
            job,
            judged,
            tmp_path / "stopped",
            stop_when=lambda printed: '"step":4' in printed.replace(" ", ""),
            checkpoint_seconds=0.0,
        )
        stopped = run_training(job, judged, tmp_path / "stopped", checkpoint_seconds=0.0)
        assert weights_of(straight.out_dir) == weights_of(stopped.out_dir)
