"""A job with several teachers."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from app.domain.manifest import Manifest
from app.domain.progress import LINE
from app.domain.spec import TrainingSpec
from app.domain.states import Stage
from tests.unit.worker.training.conftest import Outcome, image_folder
from tests.unit.worker.training.stage1 import Stage1
from worker.training.methods.targets import TargetSource
from worker.training.models.loading import load
from worker.training.teacher.task_teacher import Blend, Ensemble

Specs = Callable[..., TrainingSpec]
Runs = Callable[..., Outcome]

TEACHERS = ("test_resnet.random", "test_vit.random")
"""A CNN and a transformer."""


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With validation images, which choose how much each teacher says."""
    return image_folder(tmp_path_factory.mktemp("judged"), train=4, val=4, test=8)


def of_several(spec: Specs, **changes: Any) -> TrainingSpec:
    return spec(teacher=None, teachers=list(TEACHERS), **changes)


def events(outcome: Outcome, code: str) -> list[str]:
    return [line.message for line in outcome.lines if line.type == "event" and line.code == code]


@pytest.fixture(scope="module")
def outcome(spec: Specs, run_training: Runs, judged: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run_training(of_several(spec), judged, tmp_path_factory.mktemp("several") / "out")


class TestTrain:
    def test_says_how_much_each_says(self, outcome: Outcome) -> None:
        (said,) = events(outcome, "teachers_weighed")
        assert said.startswith("The validation images chose how much each teacher says: test_resnet.random ")
        assert ", test_vit.random " in said and ", all together " in said
        manifest = Manifest.model_validate(outcome.manifest)
        assert manifest.teacher is None
        assert [teacher["name"] for teacher in manifest.every_teacher] == list(TEACHERS)
        shares = [teacher["share"] for teacher in manifest.teachers]
        assert all(0 <= share <= 1 for share in shares) and sum(shares) <= 1 + 1e-6
        assert all(len(teacher["sha256"]) == 64 for teacher in manifest.teachers)

    def test_chains_their_licences_and_names_them_on_the_card(self, outcome: Outcome) -> None:
        told = Manifest.model_validate(outcome.manifest).licences
        assert told is not None and told.teacher is not None
        card = (outcome.out_dir / "model_card.md").read_text()
        for name in TEACHERS:
            assert f"{name}: " in told.teacher
            assert card.count(name) >= 2  # what it was made with, and under which licence

    def test_tells_each_one_s_speed_and_every_level(self, outcome: Outcome) -> None:
        asked = {line.subject for line in outcome.lines if line.type == "speed" and line.work == "tap_width"}
        assert asked == {"test_resnet", "test_vit"}
        levels = [line.values for line in outcome.lines if line.type == "metric" and line.stage is Stage.REPROGRAM][-1]
        assert {"teacher_val_accuracy", "probe_val_accuracy"} <= levels.keys()
        progress = [line.progress for line in outcome.lines if line.type == "progress"]
        assert progress == sorted(progress)
        steps = [line.step for line in outcome.lines if line.type == "metric" and line.stage is Stage.REPROGRAM]
        assert steps == sorted(steps)

    def test_its_review_is_by_all(self, outcome: Outcome) -> None:
        review = json.loads((outcome.out_dir / "data_review.json").read_text())
        assert review["teacher"] == " + ".join(TEACHERS)

    def test_the_file_of_stage_1_holds_every_part(self, outcome: Outcome) -> None:
        names = load_file(outcome.out_dir / "reprogrammed.safetensors")
        assert {name.split(".")[1] for name in names if name.startswith("blends.")} == {"0", "1", "2"}
        assert names["shares"].sum() == pytest.approx(1)


def test_a_probe_of_several_reads_all_of_their_features(
    spec: Specs, run_training: Runs, judged: Path, tmp_path: Path
) -> None:
    outcome = run_training(of_several(spec, method="probe", student=None), judged, tmp_path / "out")
    assert "probe_accuracy" in outcome.manifest["metrics"]
    assert all("share" not in teacher for teacher in outcome.manifest["teachers"])
    widths = [load(name, 32).network.num_features for name in TEACHERS]
    assert load_file(tmp_path / "out" / "probe.safetensors")["linear.weight"].shape == (3, sum(widths))


class TestTargets:
    def test_live_answers_teach_what_cached_ones_do_of_the_same_views(
        self, spec: Specs, judged: Path, tmp_path: Path
    ) -> None:
        """Of teachers that see images of different sizes."""
        names, batches = ["test_resnet.random", "resnet10t.glyphs62"], []
        for mode in ("live", "cached"):
            chosen = spec(teacher=None, teachers=names, views={"count": 2, "mode": mode}, reprogram={"steps": 5})
            made = Stage1(chosen, judged, tmp_path / mode)
            assert len({source.side for source in made.task_teacher.taps.sources}) == 2
            targets = TargetSource(made.run, made.task_teacher)
            batches.append(targets.at(np.arange(8), np.zeros(8, dtype=np.int64)))
        live, cached = batches
        assert live.z_BD is not None and cached.z_BD is not None
        torch.testing.assert_close(live.z_BD, cached.z_BD, atol=1e-2, rtol=1e-2)
        torch.testing.assert_close(live.logits_BK, cached.logits_BK, atol=5e-2, rtol=1e-2)

    def test_a_teacher_without_a_say_is_not_asked_live(self, spec: Specs, judged: Path, tmp_path: Path) -> None:
        chosen = of_several(spec, views={"count": 2, "mode": "live"}, reprogram={"steps": 5})
        made = Stage1(chosen, judged, tmp_path)
        teacher = made.task_teacher
        assert isinstance(teacher.blend, Ensemble)
        blends = [blend for blend in teacher.blend.blends if isinstance(blend, Blend)]
        seen: list[str] = []
        for source in teacher.taps.sources:
            source.teacher.register_forward_hook(lambda network, _given, _said: seen.append(network.name))

        def asked(shares: list[float]) -> list[str]:
            seen.clear()
            weighed = replace(teacher, blend=Ensemble(blends, teacher.blend.columns, shares).eval())
            batch = TargetSource(made.run, weighed).at(np.arange(4), np.zeros(4, dtype=np.int64))
            assert batch.logits_BK.isfinite().all()
            return list(seen)

        resnet, vit = TEACHERS
        assert asked([1.0, 0.0, 0.0]) == [resnet]
        assert asked([0.0, 1.0, 0.0]) == [vit]
        assert asked([1.0, 0.0, 0.5]) == [resnet, vit]

    def test_what_jobs_with_one_of_them_have_left_is_used(self, spec: Specs, judged: Path, tmp_path: Path) -> None:
        for number, name in enumerate(TEACHERS):
            Stage1(spec(teacher=name), judged, tmp_path / f"{number}", cache_dir=tmp_path / "cache")
        made = Stage1(of_several(spec), judged, tmp_path / "both", cache_dir=tmp_path / "cache")
        lines = list(map(LINE.validate_json, made.printed.getvalue().splitlines()))
        said = [line.message for line in lines if line.type == "event" and line.code == "reprogram_reused"]
        assert [name in message for name, message in zip(TEACHERS, said, strict=True)] == [True, True]
        assert not [line for line in lines if line.type == "speed" and line.work == "forward"]
        again = Stage1(of_several(spec), judged, tmp_path / "again", cache_dir=tmp_path / "cache")
        assert again.events.count("reprogram_reused") == 3
        assert again.digest == made.digest

    def test_without_validation_images_all_say_as_much(self, spec: Specs, shapes: Path, tmp_path: Path) -> None:
        made = Stage1(of_several(spec), shapes, tmp_path)
        lines = map(LINE.validate_json, made.printed.getvalue().splitlines())
        said = [line.message for line in lines if line.type == "event" and line.code == "teachers_weighed"]
        assert said == ["Each teacher says: test_resnet.random 33%, test_vit.random 33%, all together 33%."]

    def test_one_in_a_list_is_the_one(self, spec: Specs, judged: Path, tmp_path: Path) -> None:
        named = Stage1(spec(), judged, tmp_path / "named")
        listed = Stage1(spec(teacher=None, teachers=[TEACHERS[0]]), judged, tmp_path / "listed")
        assert listed.digest == named.digest
        for one, other in zip(named.batch(), listed.batch(), strict=True):
            assert (one is None and other is None) or torch.equal(one, other)
