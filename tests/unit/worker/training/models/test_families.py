"""Teachers of six kinds teach students of several, through both stages."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from app.domain.spec import TrainingSpec
from app.domain.states import Stage
from tests.unit.worker.training.conftest import SIDE, Outcome
from worker.training.models.networks import build_teacher

Specs = Callable[..., TrainingSpec]
Runs = Callable[..., Outcome]

# widths of the taps: four depths (twice the width where a class token is appended), then the pre-logits
TEACHERS = {
    "repvgg_a0": [48, 96, 192, 1280, 1280],  # plain CNN
    "mobilenetv3_small_050": [8, 16, 24, 288, 1024],  # mobile CNN
    "test_vit": [128, 128, 128, 128, 64],  # ViT
    "swin_tiny_patch4_window7_224": [96, 192, 384, 768, 768],  # Swin
    "test_coatnet": [32, 64, 96, 128, 128],  # hybrid of convolution and attention
    "resmlp_12_224": [384, 384, 384, 384, 384],  # MLP
}
STUDENTS = ["test_resnet", "test_vit", "mobilenetv3_small_050"] * 2


@pytest.mark.parametrize(("teacher", "student"), list(zip(TEACHERS, STUDENTS, strict=True)))
def test_every_kind_of_teacher_and_student_goes_through_both_stages(
    teacher: str,
    student: str,
    spec: Specs,
    run_training: Runs,
    shapes: Path,
    tmp_path: Path,
) -> None:
    small = spec(
        teacher=f"{teacher}.random",
        student=student,
        views={"count": 2, "mode": "cached"},
        reprogram={"steps": 4, "image_size": SIDE},
        distill={"image_steps": 64, "batch_size": 16, "align_weight": 1, "relation_weight": 1},
    )
    # every kind must bear bfloat16, and timing takes longer than training
    outcome = run_training(small, shapes, tmp_path, precision="bfloat16")
    points = [(line.stage, line.values) for line in outcome.lines if line.type == "metric"]
    assert {stage for stage, _ in points} == {Stage.REPROGRAM, Stage.DISTILL}
    assert all(math.isfinite(value) for _, values in points for value in values.values())
    assert any(f"align_{k}" in values for k in (1, 4) for _, values in points)

    torch.manual_seed(small.seed)
    untouched = build_teacher(f"{teacher}.random", SIDE)
    assert untouched.widths == TEACHERS[teacher]
    assert outcome.manifest["teacher"]["sha256"] == untouched.digest()
    assert outcome.manifest["student"]["architecture"] == student
