import pytest
import torch

from app.domain.spec import DistillConfig, Method, ReprogramConfig
from worker.training.distill import DistillBatch, DistillTask, weights_at
from worker.training.models import build_student
from worker.training.reprogram import Reprogrammer

CONFIG = DistillConfig()


class TestSchedule:
    def test_alignment_moves_from_shallow_to_deep_and_leaves_before_the_end(self) -> None:
        peaks = [
            max(range(101), key=lambda t, k=k: weights_at(t / 100, Method.TDMR, CONFIG).align[k]) for k in range(3)
        ]
        assert peaks == [0, 15, 35]
        assert weights_at(0.8, Method.TDMR, CONFIG).align[:3] == pytest.approx((0, 0, 0))

    def test_ends_match_the_description(self) -> None:
        first, last = weights_at(0.0, Method.TDMR, CONFIG), weights_at(1.0, Method.TDMR, CONFIG)
        assert (first.align[3], last.align[3]) == pytest.approx((1.0, 0.2))
        assert (first.kd, weights_at(0.3, Method.TDMR, CONFIG).kd, last.kd) == pytest.approx((0, 0.9, 0.9))
        assert (first.ce, weights_at(0.5, Method.TDMR, CONFIG).ce, last.ce) == pytest.approx((0.1, 0.1, 0.3))

    def test_static_weights_never_move(self) -> None:
        config = DistillConfig(schedule="static")
        assert len({weights_at(t / 10, Method.TDMR, config) for t in range(11)}) == 1

    def test_scratch_has_labels_alone_and_kd_no_alignment(self) -> None:
        scratch, kd = (weights_at(0.4, method, CONFIG) for method in (Method.SCRATCH, Method.REPROGRAMMED_KD))
        assert (scratch.ce, scratch.kd, sum(scratch.align), scratch.relation) == (1, 0, 0, 0)
        assert kd.kd > 0
        assert sum(kd.align) == kd.proxy == kd.relation == 0


def batch(classes: int, width: int) -> DistillBatch:
    torch.manual_seed(0)
    z = torch.nn.functional.normalize(torch.randn(6, width), dim=1)
    labels = torch.tensor([0, 1, 2, -1, -1, -1])
    return DistillBatch(torch.rand(6, 3, 32, 32), torch.rand(6, 3), labels, z, torch.randn(6, classes))


class TestTask:
    def test_tdmr_teaches_the_student_and_its_connectors_but_not_the_proxies(self) -> None:
        student, proxy = build_student("test_resnet", 3, 32), Reprogrammer([8, 16], 3, ReprogramConfig(width=12))
        proxy.requires_grad_(False)
        task = DistillTask(student, Method.TDMR, CONFIG, 0.2, proxy)
        output = task(batch(3, 12), 0.4)
        output.loss.backward()
        assert set(output.parts) == {"ce", "kd", "align_1", "align_2", "align_3", "align_4", "proxy", "relation"}
        assert all(p.grad is not None for p in task.connectors.parameters())
        assert proxy.proxies.grad is None
        assert not any("proxies" in name for name in task.state_dict())

    def test_a_student_with_three_stages_takes_the_deep_windows(self) -> None:
        student, proxy = build_student("levit_128s", 3, 224), Reprogrammer([8], 3, ReprogramConfig(width=12))
        task = DistillTask(student, Method.TDMR, CONFIG, 0.0, proxy.requires_grad_(False))
        one = batch(3, 12)._replace(images_BCHW=torch.rand(6, 3, 224, 224))
        assert [name for name in task(one, 0.1).parts if name.startswith("align")] == ["align_2", "align_3", "align_4"]

    def test_the_loss_is_the_weighted_sum_of_its_parts(self) -> None:
        student = build_student("test_resnet", 3, 32)
        output = DistillTask(student, Method.KD, CONFIG, 0.0, None)(batch(3, 12), 0.5)
        torch.testing.assert_close(output.loss, 0.2 * output.parts["ce"] + 0.9 * output.parts["kd"])
