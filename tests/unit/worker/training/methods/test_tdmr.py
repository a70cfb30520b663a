from typing import Any

import pytest
import torch

from app.domain.config import DistillConfig, ReprogramConfig
from app.domain.spec import TrainingSpec
from worker.training.methods.registry import METHODS
from worker.training.methods.task import DistillBatch, Setting
from worker.training.methods.tdmr import TdmrTask, weights_at
from worker.training.models.networks import build_student
from worker.training.teacher.proxy_space import Reprogrammer

WHOLE = {"align_weight": 1.0, "proxy_weight": 0.5, "relation_weight": 1.0}
CONFIG = DistillConfig(schedule="progressive", **WHOLE)


class TestSchedule:
    def test_alignment_moves_from_shallow_to_deep_and_leaves_before_the_end(self) -> None:
        peaks = [max(range(101), key=lambda t, k=k: weights_at(t / 100, CONFIG).align[k]) for k in range(3)]
        assert peaks == [0, 15, 35]
        assert weights_at(0.8, CONFIG).align[:3] == pytest.approx((0, 0, 0))

    def test_ends_match_the_description(self) -> None:
        first, last = weights_at(0.0, CONFIG), weights_at(1.0, CONFIG)
        assert (first.align[3], last.align[3]) == pytest.approx((1.0, 0.2))
        assert (first.kd, weights_at(0.3, CONFIG).kd, last.kd) == pytest.approx((0, 0.9, 0.9))
        assert (first.ce, weights_at(0.5, CONFIG).ce, last.ce) == pytest.approx((0.1, 0.1, 0.3))

    def test_static_weights_never_move(self) -> None:
        config = DistillConfig(schedule="static", **WHOLE)
        assert len({weights_at(t / 10, config) for t in range(11)}) == 1

    def test_fading_leaves_the_task_alone_at_the_end(self) -> None:
        fading, static = (
            DistillConfig(schedule="fading", **WHOLE),
            weights_at(0.0, DistillConfig(schedule="static", **WHOLE)),
        )
        assert weights_at(0.0, fading) == weights_at(0.5, fading) == static
        half, last = weights_at(0.75, fading), weights_at(1.0, fading)
        assert (half.align[3], half.proxy, half.relation) == pytest.approx((0.4, 0.25, 0.5))
        assert (*last.align, last.proxy, last.relation) == (0,) * 6
        assert (last.kd, last.ce) == (half.kd, half.ce) == (static.kd, static.ce)

    def test_reversed_aligns_deep_before_shallow_and_leaves_the_rest_in_order(self) -> None:
        config = DistillConfig(schedule="reversed", **WHOLE)
        peaks = [max(range(101), key=lambda t, k=k: weights_at(t / 100, config).align[k]) for k in range(3)]
        assert peaks == [100, 85, 65]
        for tau in (0.0, 0.1, 0.4, 0.75, 1.0):
            forwards, backwards = weights_at(tau, CONFIG), weights_at(tau, config)
            assert backwards.align == pytest.approx(weights_at(1 - tau, CONFIG).align)
            assert (backwards.kd, backwards.ce) == (forwards.kd, forwards.ce)

    @pytest.mark.parametrize("schedule", ["fading", "progressive", "static", "reversed"])
    def test_the_jobs_own_weights_scale_each_schedule(self, schedule: Any) -> None:
        plain = weights_at(0.3, DistillConfig(schedule=schedule, **WHOLE))
        scaled = weights_at(
            0.3, DistillConfig(schedule=schedule, align_weight=3.0, proxy_weight=0.25, relation_weight=0)
        )
        assert scaled.align == pytest.approx(tuple(3 * w for w in plain.align))
        assert (scaled.proxy, scaled.relation, scaled.kd, scaled.ce) == (0.25, 0, plain.kd, plain.ce)


def setting(student: str, side: int, **distill: Any) -> Setting:
    spec = TrainingSpec(
        teacher="t",
        student=student,
        image_size=side,
        views={"jitter": 0.0},  # type: ignore[arg-type]
        distill=distill,  # type: ignore[arg-type]
    )
    proxy = Reprogrammer([8, 16], 3, ReprogramConfig(width=12)).requires_grad_(False)
    return Setting(spec, build_student(student, 3, side), proxy)


def batch(side: int) -> DistillBatch:
    torch.manual_seed(0)
    z = torch.nn.functional.normalize(torch.randn(6, 12), dim=1)
    labels = torch.tensor([0, 1, 2, -1, -1, -1])
    return DistillBatch(torch.rand(6, 3, side, side), torch.rand(6, 3), labels, z, torch.randn(6, 3))


class TestTdmr:
    def test_teaches_the_student_and_its_connectors_but_not_the_proxies(self) -> None:
        given = setting("test_resnet", 32, **WHOLE)
        task = TdmrTask(given)
        output = task(batch(32), 0.4)
        output.loss.backward()
        assert set(output.parts) == {"ce", "kd", "align_1", "align_2", "align_3", "align_4", "proxy", "relation"}
        assert all(p.grad is not None for p in task.connectors.parameters())
        assert isinstance(given.proxy_space, Reprogrammer)
        assert given.proxy_space.proxies.grad is None
        assert not any("proxies" in name for name in task.state_dict())

    @pytest.mark.parametrize(
        ("weights", "parts", "connectors"),
        [
            ({}, set(), 0),
            ({"proxy_weight": 0.5}, {"proxy"}, 1),
            ({"relation_weight": 1}, {"relation"}, 1),
        ],
    )
    def test_computes_no_loss_that_never_counts(
        self, weights: dict[str, Any], parts: set[str], connectors: int
    ) -> None:
        task = TdmrTask(setting("test_resnet", 32, **weights))
        assert set(task(batch(32), 0.4).parts) == {"ce", "kd"} | parts
        assert len(task.connectors) == connectors

    def test_the_loss_is_the_weighted_sum_of_its_parts(self) -> None:
        given = setting("test_resnet", 32, schedule="fading", **WHOLE)
        output = TdmrTask(given)(batch(32), 0.6)
        weights = weights_at(0.6, given.spec.distill)
        expected = weights.kd * output.parts["kd"] + weights.ce * output.parts["ce"]
        expected += weights.proxy * output.parts["proxy"] + weights.relation * output.parts["relation"]
        for k in range(4):
            expected += weights.align[k] * output.parts[f"align_{k + 1}"]
        torch.testing.assert_close(output.loss, expected)

    def test_a_student_with_three_stages_takes_the_deep_windows(self) -> None:
        task = TdmrTask(setting("levit_128s", 224, **WHOLE))
        assert [name for name in task(batch(224), 0.1).parts if name.startswith("align")] == [
            "align_2",
            "align_3",
            "align_4",
        ]

    def test_a_shifted_colour_is_the_students_own(self) -> None:
        given = setting("test_resnet", 32)
        seen: list[torch.Tensor] = []
        given.student.tapped.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        task, one = TdmrTask(given), batch(32)
        for task.jitter_strength in (0.0, 0.4):
            task(one, 0.0)
        plain = (one.images_BCHW - given.student.mean) / given.student.std
        torch.testing.assert_close(seen[0], plain)
        assert not torch.allclose(seen[1], plain)


def test_the_feature_based_methods_ask_for_taps() -> None:
    assert {name for name, one in METHODS.items() if one.info.needs_taps} == {"fitnet", "rkd", "simkd"}
