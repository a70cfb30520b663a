import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from worker.training import losses
from worker.training.methods import dist, dkd, rkd


class TestKd:
    def test_is_zero_for_equal_answers_whatever_the_constant(self) -> None:
        logits = torch.randn(5, 4)
        assert losses.kd(logits, logits + 3, 2.0) == pytest.approx(0, abs=1e-6)

    def test_matches_the_formula(self) -> None:
        teacher, student, t = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]), 2.0
        p = math.e / (math.e + 1)
        expected = t**2 * (p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p)))
        assert losses.kd(teacher, student, t) == pytest.approx(expected, abs=1e-5)


class TestCrossEntropy:
    def test_counts_only_labelled_images_against_the_whole_batch(self) -> None:
        logits, labels = torch.randn(4, 3), torch.tensor([1, -1, -1, -1])
        expected = torch.nn.functional.cross_entropy(logits[:1], labels[:1]) / 4
        torch.testing.assert_close(losses.labelled_cross_entropy(logits, labels), expected)

    def test_is_zero_without_labels(self) -> None:
        assert losses.labelled_cross_entropy(torch.randn(4, 3), torch.full((4,), -1)) == 0

    def test_a_class_weight_multiplies_the_images_of_its_class(self) -> None:
        logits, labels, weights = torch.randn(4, 3), torch.tensor([0, 2, 2, -1]), torch.tensor([0.5, 7.0, 2.0])
        log_p = logits.log_softmax(1)
        expected = -(0.5 * log_p[0, 0] + 2 * log_p[1, 2] + 2 * log_p[2, 2]) / 4
        torch.testing.assert_close(losses.labelled_cross_entropy(logits, labels, weights), expected)


def probabilities(logits: torch.Tensor, temperature: float) -> np.ndarray:
    exp = np.exp(logits.double().numpy() / temperature)
    return exp / exp.sum(1, keepdims=True)


class TestDecoupled:
    teacher, student, target = torch.randn(5, 4), torch.randn(5, 4), torch.tensor([3, 0, 1, 1, 2])

    def test_the_parts_add_up_to_the_kl(self) -> None:
        temperature = 3.0
        parts = dkd.decoupled(self.teacher, self.student, self.target, temperature)
        p_t = (self.teacher / temperature).softmax(1).gather(1, self.target[:, None])[:, 0]
        whole = (parts.target + (1 - p_t) * parts.others).mean()
        torch.testing.assert_close(temperature**2 * whole, losses.kd(self.teacher, self.student, temperature))

    def test_each_part_matches_its_definition(self) -> None:
        parts = dkd.decoupled(self.teacher, self.student, self.target, 2.0)
        p, q = probabilities(self.teacher, 2.0), probabilities(self.student, 2.0)
        for row, target in enumerate(self.target.tolist()):
            a, b = p[row, target], q[row, target]
            expected = a * np.log(a / b) + (1 - a) * np.log((1 - a) / (1 - b))
            assert float(parts.target[row]) == pytest.approx(expected, abs=1e-5)
            a_others, b_others = (np.delete(x[row], target) / (1 - x[row, target]) for x in (p, q))
            assert float(parts.others[row]) == pytest.approx((a_others * np.log(a_others / b_others)).sum(), abs=1e-5)

    def test_two_classes_have_no_others_to_rank(self) -> None:
        parts = dkd.decoupled(torch.randn(3, 2), torch.randn(3, 2), torch.tensor([0, 1, 1]), 1.0)
        assert parts.others.tolist() == [0, 0, 0]
        assert (parts.target > 0).all()


class TestCorrelationDistance:
    def test_matches_numpy(self) -> None:
        a, b = torch.randn(4, 6), torch.randn(4, 6)
        expected = np.mean([1 - np.corrcoef(x, y)[0, 1] for x, y in zip(a.numpy(), b.numpy(), strict=True)])
        assert float(dist.correlation_distance(a, b)) == pytest.approx(expected, abs=1e-5)

    def test_each_row_has_its_own_scale_and_offset(self) -> None:
        a = torch.randn(4, 6)
        moved = (1 + torch.rand(4, 1)) * a + torch.randn(4, 1)
        assert dist.correlation_distance(moved, a) == pytest.approx(0, abs=1e-6)
        assert dist.correlation_distance(-a, a) == pytest.approx(2, abs=1e-6)


def huber(difference: np.ndarray) -> float:
    size = np.abs(difference)
    return float(np.where(size < 1, 0.5 * size**2, size - 0.5).mean())


class TestRelationsOfImages:
    """RKD's two losses: blind to rotation, offset and scale of the whole batch, and to nothing else."""

    @pytest.mark.parametrize("loss", [rkd.relative_distances, rkd.angles])
    def test_the_same_geometry_costs_nothing_and_another_one_does(
        self, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> None:
        x = torch.randn(10, 6)
        rotation, _ = torch.linalg.qr(torch.randn(6, 6))
        assert loss(3 * x @ rotation + 5, x) < 1e-6
        assert loss(x * torch.tensor([1, 1, 1, 1, 1, 9.0]), x) > 1e-3
        assert loss(torch.randn(10, 4), x) > 1e-2

    def test_distances_match_the_definition(self) -> None:
        student, teacher = torch.randn(5, 3), torch.randn(5, 7)

        def scaled(x: np.ndarray) -> np.ndarray:
            pairs = np.array([np.linalg.norm(x[i] - x[j]) for i in range(5) for j in range(i)])
            return pairs / pairs.mean()

        expected = huber(scaled(student.numpy()) - scaled(teacher.numpy()))
        assert float(rkd.relative_distances(student, teacher)) == pytest.approx(expected, rel=1e-4)

    def test_angles_match_the_definition(self) -> None:
        student, teacher = torch.randn(4, 3), torch.randn(4, 7)

        def cosine(x: np.ndarray, i: int, j: int, k: int) -> float:
            a, b = x[i] - x[j], x[k] - x[j]
            length = np.linalg.norm(a) * np.linalg.norm(b)
            return float(a @ b / length) if length else 0.0

        triples = [(i, j, k) for i in range(4) for j in range(4) for k in range(4)]
        cosines = [np.array([cosine(x.numpy(), *triple) for triple in triples]) for x in (student, teacher)]
        assert float(rkd.angles(student, teacher)) == pytest.approx(huber(cosines[0] - cosines[1]), rel=1e-4)

    def test_images_that_coincide_leave_a_finite_gradient(self) -> None:
        student = torch.randn(6, 3)
        student[1] = student[0]
        student.requires_grad_()
        teacher = torch.randn(6, 5)
        (rkd.relative_distances(student, teacher) + rkd.angles(student, teacher)).backward()
        assert student.grad is not None
        assert student.grad.isfinite().all()

    def test_angles_of_a_large_batch_stay_affordable(self) -> None:
        first, rest, teacher = torch.randn(128, 3), torch.randn(2000, 3), torch.randn(2128, 3)
        torch.testing.assert_close(rkd.angles(torch.cat([first, rest]), teacher), rkd.angles(first, teacher))


class TestRelation:
    def test_ignores_rotation_and_scale(self) -> None:
        z = torch.randn(16, 8)
        rotation, _ = torch.linalg.qr(torch.randn(8, 8))
        assert losses.relation(3 * z @ rotation, z) < 1e-2
        assert losses.relation(torch.randn(16, 8), z) > 0.5

    def test_its_square_is_two_minus_twice_the_cka(self) -> None:
        a, b = (torch.randn(16, 8) for _ in range(2))
        a, b = a - a.mean(0), b - b.mean(0)
        cka = (a.T @ b).square().sum() / ((a.T @ a).norm() * (b.T @ b).norm())
        torch.testing.assert_close(losses.relation(a, b).square(), 2 - 2 * cka, atol=1e-4, rtol=1e-4)


class TestMoments:
    def test_sees_a_shifted_mean_and_a_changed_spread(self) -> None:
        z = torch.randn(64, 4)
        assert losses.moments(z, z) == pytest.approx(0)
        assert losses.moments(z + 1, z) == pytest.approx(4, rel=1e-4)
        assert losses.moments(2 * z, z) > 1


def test_symmetric_kl_is_symmetric_and_zero_for_equals() -> None:
    a, b = torch.randn(6, 3), torch.randn(6, 3)
    torch.testing.assert_close(losses.symmetric_kl(a, b), losses.symmetric_kl(b, a))
    assert losses.symmetric_kl(a, a) == pytest.approx(0, abs=1e-6)
