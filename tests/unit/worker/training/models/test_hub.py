"""Weights of the hub, from a cache that stands for it."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
from huggingface_hub import constants
from safetensors.torch import save_file

from app.domain.errors import WeightsUnavailable
from app.domain.files import sha256_file
from app.domain.runtime import RuntimeConfig
from app.domain.spec import TrainingSpec
from worker.training.models.hub import fetch_teachers
from worker.training.models.initial_weights import choose_initial_weights
from worker.training.models.networks import build_student

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


def put(models: Path, name: str) -> None:
    """Weights and their card, as an operator lays them down."""
    models.mkdir(exist_ok=True)
    path = models / f"{name}.safetensors"
    save_file(timm.create_model(name.partition(".")[0], num_classes=0).state_dict(), path)
    card = {"file": path.name, "sha256": sha256_file(path), "architecture": name.partition(".")[0]}
    card |= {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": [3, 160, 160]}
    (models / f"{name}.json").write_text(json.dumps(card))


class TestFetchTeacher:
    def test_asks_for_its_weights(self, cache: Path) -> None:
        spec = TrainingSpec(teacher=TEACHER, student=STUDENT)
        with pytest.raises(WeightsUnavailable):
            fetch_teachers(spec, None)
        fill(cache, TEACHER)
        fetch_teachers(spec, None)

    def test_asks_for_none_that_are_at_hand_or_random(self, cache: Path) -> None:
        fetch_teachers(TrainingSpec(teacher="resnet18.random", student=STUDENT), None)
        fetch_teachers(TrainingSpec(teacher="resnet10t.glyphs62", student=STUDENT), None)
        fetch_teachers(TrainingSpec(student=STUDENT, method="scratch"), None)


class Chosen:
    """What a run chooses, and what it warns of."""

    def __init__(self, out: Path, *, models_dir: Path | None = None, hub: bool = True) -> None:
        self._runtime, self._out, self.warnings = RuntimeConfig(models_dir=models_dir, hub=hub), out, list[str]()

    def __call__(self, **spec: Any) -> dict[str, str | None]:
        given = TrainingSpec(**{"teacher": "resnet10t.glyphs62", **spec})
        return choose_initial_weights(given, self._runtime, self._out, lambda code, said: self.warnings.append(said))


class TestInitialWeights:
    def test_are_those_of_the_hub_where_it_has_some(self, cache: Path, tmp_path: Path) -> None:
        fill(cache, f"{STUDENT}.r160_in1k")
        chosen = Chosen(tmp_path / "out")
        assert chosen(student=STUDENT) == {STUDENT: STUDENT}
        assert build_student(STUDENT, 3, 32, pretrained=True).weights == STUDENT
        assert chosen.warnings == []

    def test_are_random_ones_with_a_warning_where_it_does_not_answer(self, cache: Path, tmp_path: Path) -> None:
        chosen = Chosen(tmp_path / "out")
        assert chosen(student=STUDENT) == {STUDENT: None}
        (warning,) = chosen.warnings
        assert f"{STUDENT} begins from random weights" in warning

    def test_stay_what_they_were_when_the_run_goes_on(self, cache: Path, tmp_path: Path) -> None:
        assert Chosen(tmp_path / "out")(student=STUDENT) == {STUDENT: None}
        fill(cache, f"{STUDENT}.r160_in1k")
        again = Chosen(tmp_path / "out")
        assert (again(student=STUDENT), again.warnings) == ({STUDENT: None}, [])
        assert Chosen(tmp_path / "other")(student=STUDENT) == {STUDENT: STUDENT}

    def test_are_what_the_job_insists_on(self, cache: Path, tmp_path: Path) -> None:
        chosen = Chosen(tmp_path / "out")
        for spec in ({"pretrained": True}, {"method": "finetune"}):
            with pytest.raises(WeightsUnavailable):
                chosen(student=STUDENT, **spec)
        with pytest.raises(WeightsUnavailable):  # it names them
            chosen(student=f"{STUDENT}.r160_in1k")
        assert chosen(student=STUDENT, pretrained=False) == {STUDENT: None}
        assert chosen(student=STUDENT, method="scratch") == {STUDENT: None}
        assert chosen.warnings == []

    def test_are_random_ones_with_a_warning_where_the_others_do_not_fit(self, tmp_path: Path) -> None:
        models = tmp_path / "models"
        put(models, "mixer_s32_224.mine")
        chosen = Chosen(tmp_path / "one", models_dir=models, hub=False)
        assert chosen(student="mixer_s32_224", image_size=224) == {"mixer_s32_224": "mixer_s32_224.mine"}
        chosen = Chosen(tmp_path / "two", models_dir=models, hub=False)
        assert chosen(student="mixer_s32_224", image_size=64) == {"mixer_s32_224": None}
        (warning,) = chosen.warnings
        assert "begins from random weights" in warning
        (models / "mixer_s32_224.mine.safetensors").write_bytes(b"damaged")
        chosen = Chosen(tmp_path / "three", models_dir=models, hub=False)
        assert chosen(student="mixer_s32_224", image_size=224) == {"mixer_s32_224": None}
        assert "SHA-256" in chosen.warnings[0]

    def test_are_local_ones_without_a_hub(self, tmp_path: Path) -> None:
        models = tmp_path / "models"
        put(models, f"{STUDENT}.mine")
        chosen = Chosen(tmp_path / "one", models_dir=models, hub=False)
        assert chosen(students=[STUDENT, "test_vit"]) == {STUDENT: f"{STUDENT}.mine", "test_vit": None}
        assert chosen.warnings == []
        put(models, f"{STUDENT}.other")
        several = Chosen(tmp_path / "two", models_dir=models, hub=False)
        assert several(student=STUDENT) == {STUDENT: None}
        assert f"name one of {STUDENT}.mine, {STUDENT}.other" in several.warnings[0]
        put(models, f"{STUDENT}.r160_in1k")  # timm's default
        assert Chosen(tmp_path / "three", models_dir=models, hub=False)(student=STUDENT) == {
            STUDENT: f"{STUDENT}.r160_in1k"
        }
