"""Weights of the hub, from a cache that stands for it."""

from pathlib import Path

import pytest
import timm
from huggingface_hub import constants
from safetensors.torch import save_file

from app.domain.errors import WeightsUnavailable
from app.domain.spec import TrainingSpec
from worker.training.models.hub import fetch_weights

TEACHER, STUDENT = "test_vit.r160_in1k", "test_resnet"
COMMIT = "a" * 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one, and nobody to ask."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def fill(cache: Path, name: str) -> None:
    model = cache / f"models--timm--{name}"
    for folder in ("refs", f"snapshots/{COMMIT}"):
        (model / folder).mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    weights = timm.create_model(name.partition(".")[0]).state_dict()
    save_file(weights, model / "snapshots" / COMMIT / "model.safetensors")


class TestFetchWeights:
    def test_asks_for_the_teachers(self, cache: Path) -> None:
        spec = TrainingSpec(teacher=TEACHER, student=STUDENT)
        with pytest.raises(WeightsUnavailable):
            fetch_weights(spec, None)
        fill(cache, TEACHER)
        fetch_weights(spec, None)

    def test_asks_for_a_students_where_it_starts_from_them(self, cache: Path) -> None:
        fetch_weights(TrainingSpec(student=STUDENT, method="scratch"), None)
        with pytest.raises(WeightsUnavailable):
            fetch_weights(TrainingSpec(student=STUDENT, method="scratch", pretrained=True), None)

    def test_asks_for_none_that_are_at_hand_or_random(self, cache: Path) -> None:
        fetch_weights(TrainingSpec(teacher="resnet18.random", student=STUDENT), None)
        fetch_weights(TrainingSpec(teacher="resnet10t.glyphs62", student=STUDENT), None)
