import math

import pytest
import torch

from worker.training import losses


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
