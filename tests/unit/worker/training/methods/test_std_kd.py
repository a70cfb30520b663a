"""KD from standardised logits: shift and scale do not matter, and a real run trains with it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from app.domain.spec import TrainingSpec
from tests.unit.worker.training.conftest import Outcome
from worker.training import losses
from worker.training.methods.std_kd import standardised


def test_standardised_logits_have_no_shift_and_no_scale() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 7)
    shift, scale = torch.randn(5, 1), torch.rand(5, 1) + 0.1
    torch.testing.assert_close(standardised(scale * logits + shift), standardised(logits))
    torch.testing.assert_close(standardised(logits).mean(1), torch.zeros(5))
    torch.testing.assert_close(standardised(logits).std(1), torch.ones(5))
    assert not torch.allclose(standardised(-logits), standardised(logits))


def test_the_loss_is_zero_for_logits_of_the_same_shape_and_pulls_others_to_it() -> None:
    torch.manual_seed(0)
    teacher = 4 * torch.randn(6, 3)
    assert float(losses.kd(standardised(teacher), standardised(0.1 * teacher + 5), 2.0)) == pytest.approx(0, abs=1e-6)
    student = torch.randn(6, 3, requires_grad=True)
    before = losses.kd(standardised(teacher), standardised(student), 2.0)
    (gradient,) = torch.autograd.grad(before, student)
    after = losses.kd(standardised(teacher), standardised(student - 0.1 * gradient), 2.0)
    assert after < before
    # what moves every logit of an image alike, or stretches them, is left alone
    torch.testing.assert_close(gradient.sum(1), torch.zeros(6), atol=1e-6, rtol=0)


def test_equal_logits_say_nothing_and_stay_finite() -> None:
    flat = torch.zeros(2, 3, requires_grad=True)
    loss = losses.kd(F.one_hot(torch.tensor([0, 1]), 3).float(), standardised(flat), 2.0)
    (gradient,) = torch.autograd.grad(loss, flat)
    assert torch.isfinite(loss) and torch.isfinite(gradient).all()


def test_a_run_trains_with_it(
    spec: Callable[..., TrainingSpec], run_training: Callable[..., Outcome], shapes: Path, tmp_path: Path
) -> None:
    options = {"image_steps": 64, "batch_size": 16, "kd_weight": 0.5}
    outcome = run_training(spec(method="std-kd", distill=options), shapes, tmp_path)
    assert outcome.manifest["spec"]["distill"]["kd_weight"] == 0.5
    point = next(line for line in outcome.lines if line.type == "metric" and "kd" in line.values)
    expected = 0.5 * point.values["kd"] + 1.1 * 0.1 / 9.1 * point.values["ce"]
    assert point.values["loss"] == pytest.approx(expected, rel=1e-4)
