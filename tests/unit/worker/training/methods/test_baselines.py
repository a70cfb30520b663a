"""Every baseline through `build_task`, and what sets each apart."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from app.domain.config import ReprogramConfig
from app.domain.errors import InvalidSpec
from app.domain.spec import TrainingSpec
from worker.training.data.class_weights import class_weights
from worker.training.data.views import CHANGE_NUMBERS
from worker.training.engine.loop import Optimisation, fit
from worker.training.methods.fitnet import FitnetTask
from worker.training.methods.registry import METHODS, build_task
from worker.training.methods.task import DistillBatch, StudentTask
from worker.training.models.networks import Student, build_student
from worker.training.teacher.proxy_space import LinearProbe, Reprogrammer

SIDE, CLASSES = 32, 3
WIDTHS = [5, 6, 7, 8, 9]
TRAINED = [name for name, one in METHODS.items() if one.task is not None]
PARTS = {
    "scratch": {"ce"},
    "finetune": {"ce"},
    "kd": {"ce", "kd"},
    "reprogrammed-kd": {"ce", "kd"},
    "fitnet": {"ce", "kd", "hint_1", "hint_2", "hint_3", "hint_4"},
    "rkd": {"ce", "kd", "distance", "angle"},
    "dkd": {"ce", "target", "others"},
    "dist": {"ce", "inter", "intra"},
    "simkd": {"feature"},
}
NO_CE_OF_THE_BATCH = {"simkd", "fixmatch"}
"""The one has none; the other's is a mean over the labelled images (test_fixmatch)."""


def build(
    method: str, student: Student | None = None, class_weights_K: Tensor | None = None, widths: list[int] = WIDTHS
) -> StudentTask:
    torch.manual_seed(0)
    student = student or build_student("test_resnet", CLASSES, SIDE)
    spec = TrainingSpec(teacher="t", student=student.architecture, method=method, views={"jitter": 0.0})  # type: ignore[arg-type]
    proxy = Reprogrammer(widths, CLASSES, ReprogramConfig(width=12)).requires_grad_(False)
    probe = LinearProbe(widths, CLASSES)
    torch.nn.init.normal_(probe.linear.weight)
    torch.nn.init.normal_(probe.linear.bias)
    probe.requires_grad_(False)
    return build_task(spec, student, proxy if METHODS[method].info.reprograms else None, probe, widths, class_weights_K)


def coloured(labels: list[int], method: str = "kd", widths: list[int] = WIDTHS) -> DistillBatch:
    """Each class has a colour, and the teacher's answers are functions of the colours."""
    torch.manual_seed(1)
    truth = torch.arange(12) % CLASSES
    images = 0.3 * torch.rand(12, 3, SIDE, SIDE)
    images[torch.arange(12), truth] += 0.6
    colours = images.mean((2, 3))
    taps = F.layer_norm(colours @ torch.randn(3, sum(widths)), (sum(widths),))
    z = F.normalize(colours @ torch.randn(3, 12), dim=1) if METHODS[method].info.reprograms else None
    numbers = torch.rand(12, CHANGE_NUMBERS)
    return DistillBatch(images, numbers, torch.tensor(labels), z, 4 * F.one_hot(truth, CLASSES), taps)


HALF_LABELLED = [0, 1, 2, 0, 1, 2, -1, -1, -1, -1, -1, -1]


class TestEveryMethod:
    @pytest.mark.slow
    @pytest.mark.parametrize("method", TRAINED)
    def test_learns(self, method: str) -> None:
        task, batch = build(method), coloured(HALF_LABELLED, method)
        first = task(batch, 0.9)
        fit(task, task.student, lambda step: batch, Optimisation(30, 3e-3, 0.0))
        task.train()
        last = task(batch, 0.9)
        assert last.loss < 0.6 * first.loss
        assert set(last.parts) == PARTS.get(method, set(last.parts))

    @pytest.mark.parametrize("method", TRAINED)
    def test_leaves_the_architecture_the_user_asked_for(self, method: str) -> None:
        task, batch = build(method), coloured(HALF_LABELLED, method)
        delivered = fit(task, task.student, lambda step: batch, Optimisation(3, 3e-3, 0.0), ema=0.9)
        assert isinstance(delivered, Student)
        task.finish(delivered)
        fresh = build_student("test_resnet", CLASSES, SIDE).network
        fresh.load_state_dict(delivered.network.state_dict())
        images = torch.rand(2, 3, SIDE, SIDE)
        torch.testing.assert_close(fresh.eval()(images), delivered.network(images))

    @pytest.mark.parametrize("method", sorted(set(TRAINED) - NO_CE_OF_THE_BATCH))
    def test_weighs_the_labels_by_class(self, method: str) -> None:
        labels = [0, 1, 2, 0, -1, -1, -1, -1, -1, -1, -1, -1]
        weights = class_weights(np.array(labels), CLASSES)
        batch = coloured(labels, method)
        plain, weighted = (build(method, class_weights_K=given)(batch, 0.5).parts["ce"] for given in (None, weights))
        logits = build(method).student(batch.images_BCHW)[1]
        expected = F.cross_entropy(logits[:4], batch.labels_B[:4], weights, reduction="sum") / 12
        torch.testing.assert_close(weighted, expected.detach())
        assert weighted != plain


class TestFitnet:
    def test_pairs_stages_from_the_deep_end(self) -> None:
        task = build("fitnet", widths=[6, 7, 9])
        assert isinstance(task, FitnetTask)
        deep = task.student.widths[-2:]
        assert [(r.in_features, r.out_features) for r in task.regressors] == list(zip(deep, [6, 7], strict=True))
        parts = task(coloured(HALF_LABELLED, widths=[6, 7, 9]), 0.5).parts
        assert [name for name in parts if name.startswith("hint")] == ["hint_3", "hint_4"]

    def test_a_teacher_without_stages_hints_with_its_last_features(self) -> None:
        task, batch = build("fitnet", widths=[9]), coloured(HALF_LABELLED, widths=[9])
        assert isinstance(task, FitnetTask)
        stage = task.student(batch.images_BCHW)[0][-1]
        assert batch.teacher_taps_BW is not None
        expected = (task.regressors[0](stage) - batch.teacher_taps_BW).square().mean()
        torch.testing.assert_close(task(batch, 0.5).parts["hint_4"], expected.detach())


class TestRkd:
    def test_compares_with_the_teachers_last_tap_alone(self) -> None:
        task, batch = build("rkd"), coloured(HALF_LABELLED)
        assert batch.teacher_taps_BW is not None
        changed = batch.teacher_taps_BW.clone()
        changed[:, : -WIDTHS[-1]] = 0
        same = task(batch._replace(teacher_taps_BW=changed), 0.5).loss
        changed[0] = 3.0
        other = task(batch._replace(teacher_taps_BW=changed), 0.5).loss
        assert same == task(batch, 0.5).loss
        assert other != same


class TestDkd:
    def test_an_image_without_a_label_has_the_teachers_top_class_as_target(self) -> None:
        task = build("dkd")
        truth = [0, 1, 2] * 4
        labelled, unlabelled, wrong = (
            task(coloured(labels), 0.5).parts["target"] for labels in (truth, [-1] * 12, [1, *truth[1:]])
        )
        assert labelled == unlabelled != wrong

    def test_starts_with_the_labels_alone(self) -> None:
        task, batch = build("dkd"), coloured(HALF_LABELLED)
        start, later = task(batch, 0.0), task(batch, 1 / 12)
        torch.testing.assert_close(start.loss, start.parts["ce"])
        expected = later.parts["ce"] + 4 * (later.parts["target"] + 8 * later.parts["others"])
        torch.testing.assert_close(later.loss, expected)


class TestDist:
    def test_a_student_that_ranks_like_the_teacher_pays_nothing(self) -> None:
        task, batch = build("dist"), coloured(HALF_LABELLED)
        with torch.no_grad():
            logits = task.student(batch.images_BCHW)[1]
        parts = task(batch._replace(teacher_logits_BK=logits + 3), 0.5).parts
        assert (float(parts["inter"]), float(parts["intra"])) == pytest.approx((0, 0), abs=1e-5)


class TestSimkd:
    def test_the_plain_network_computes_what_was_trained(self) -> None:
        task, batch = build("simkd"), coloured(HALF_LABELLED)
        delivered = fit(task, task.student, lambda step: batch, Optimisation(20, 3e-3, 0.0), ema=0.9)
        assert isinstance(delivered, Student)
        before = delivered.network(batch.images_BCHW).detach()
        borrowed = delivered.network.get_classifier()
        task.finish(delivered)
        classifier = delivered.network.get_classifier()
        assert type(classifier) is torch.nn.Linear
        torch.testing.assert_close(delivered.network(batch.images_BCHW), before, atol=1e-5, rtol=0)
        by_hand = borrowed.probe.weight @ borrowed.projector.weight
        torch.testing.assert_close(classifier.weight, by_hand, atol=1e-5, rtol=0)

    def test_the_probe_stays_as_it_was_and_the_projector_learns(self) -> None:
        task, batch = build("simkd"), coloured(HALF_LABELLED)
        borrowed: Any = task.student.network.get_classifier()
        probe, projector = borrowed.probe.weight.clone(), borrowed.projector.weight.clone()
        fit(task, task.student, lambda step: batch, Optimisation(3, 3e-3, 0.05), ema=0.9)
        assert torch.equal(borrowed.probe.weight, probe)
        assert not torch.equal(borrowed.projector.weight, projector)

    def test_the_averaged_student_is_its_own_while_training(self) -> None:
        """What is evaluated on the way: averaged trunk, averaged projector, the probe as it is."""
        task, batch = build("simkd"), coloured(HALF_LABELLED)
        delivered = fit(task, task.student, lambda step: batch, Optimisation(3, 3e-3, 0.0), ema=0.9)
        trained, averaged = (x.network.get_classifier() for x in (task.student, delivered))  # type: ignore[operator, union-attr]
        assert not torch.equal(trained.projector.weight, averaged.projector.weight)
        assert torch.equal(trained.probe.weight, averaged.probe.weight)

    def test_refuses_a_student_without_one_linear_classifier(self) -> None:
        with pytest.raises(InvalidSpec, match="'levit_128s' does not"):
            build("simkd", build_student("levit_128s", CLASSES, 224))
