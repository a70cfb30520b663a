import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_model

from app.domain.files import sha256_file
from app.domain.spec import TrainingSpec
from app.domain.states import Stage
from tests.unit.worker.training.conftest import picture
from tests.unit.worker.training.stage1 import Stage1
from worker.training.methods.batches import BatchSource
from worker.training.methods.targets import TargetSource
from worker.training.models.loading import load
from worker.training.teacher.task_teacher import Blend

pytestmark = pytest.mark.slow  # each trains stage 1
Specs = Callable[..., TrainingSpec]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """The cache of a host."""
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def with_val(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images of class 0, three of class 1, with validation images."""
    root = tmp_path_factory.mktemp("with-val")
    rng = np.random.default_rng(1)
    for split, counts in (("train", (12, 3)), ("val", (3, 3)), ("test", (2, 2))):
        for label, count in enumerate(counts):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                picture(label, rng).save(folder / f"{number}.png")
    return root


@pytest.fixture
def local_teachers(tmp_path: Path) -> Path:
    """A folder with the teacher `tiny`, whose weights do not depend on the job's seed."""
    folder = tmp_path / "models"
    folder.mkdir()
    torch.manual_seed(0)
    save_model(load("test_resnet.random", 32).network, str(folder / "tiny.safetensors"))
    card = {
        "file": "tiny.safetensors",
        "sha256": sha256_file(folder / "tiny.safetensors"),
        "architecture": "test_resnet",
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "input_size": [3, 32, 32],
        "classifier": False,
        "source": "ours",
        "licence": "Apache-2.0",
    }
    (folder / "tiny.json").write_text(json.dumps(card))
    return folder


class TestReuse:
    def test_a_second_job_takes_stage_1_from_the_first(
        self, spec: Specs, with_val: Path, tmp_path: Path, shared: Path
    ) -> None:
        first = Stage1(spec(), with_val, tmp_path / "first", cache_dir=shared)
        again = Stage1(spec(distill={"image_steps": 64}), with_val, tmp_path / "again", cache_dir=shared)
        assert again.digest == first.digest
        assert "reprogram_reused" in again.events
        assert "reprogram_reused" not in first.events
        assert again.last_metrics == first.last_metrics
        assert "val_accuracy" in again.last_metrics
        assert {"teacher_val_accuracy", "probe_val_accuracy"} <= again.last_metrics.keys()
        plans = again.run.reporter.plan, first.run.reporter.plan
        assert plans[0] is not None and plans[1] is not None
        assert plans[0].seconds(Stage.PREPARE) < plans[1].seconds(Stage.PREPARE)
        for name in ("probe.safetensors", "reprogrammed.safetensors"):
            assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()

    def test_another_seed_shares_the_answers_but_not_stage_1(
        self, spec: Specs, shapes: Path, tmp_path: Path, shared: Path, local_teachers: Path
    ) -> None:
        folders = {"cache_dir": shared, "models_dir": local_teachers}
        first = Stage1(spec(teacher="tiny"), shapes, tmp_path / "first", **folders)
        known = sorted((shared / "records").iterdir())
        other = Stage1(spec(teacher="tiny", seed=1), shapes, tmp_path / "other", **folders)
        assert sorted((shared / "records").iterdir()) == known
        assert "reprogram_reused" not in other.events
        assert other.digest != first.digest

    @pytest.mark.parametrize(
        "change",
        [
            {"reprogram": {"steps": 20, "image_size": 32, "learning_rate": 0.01}},
            {"balance": "sampling"},
            {"balance": "loss"},
        ],
        ids=["learning rate", "sampling", "loss"],
    )
    def test_what_decides_stage_1_is_noticed(
        self, change: dict[str, object], spec: Specs, with_val: Path, tmp_path: Path, shared: Path
    ) -> None:
        first = Stage1(spec(), with_val, tmp_path / "first", cache_dir=shared)
        other = Stage1(spec(**change), with_val, tmp_path / "other", cache_dir=shared)
        assert "reprogram_reused" not in other.events
        assert other.digest != first.digest

    def test_a_wrong_byte_is_told_and_everything_comes_out_the_same(
        self, spec: Specs, shapes: Path, tmp_path: Path, shared: Path
    ) -> None:
        first = Stage1(spec(), shapes, tmp_path / "first", cache_dir=shared)
        wanted = first.batch(3)
        for path in sorted(shared.rglob("*.safetensors")):
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(content)
        again = Stage1(spec(), shapes, tmp_path / "again", cache_dir=shared)
        assert "cache_damaged" in again.events
        assert "reprogram_reused" not in again.events
        assert again.digest == first.digest
        for one, other in zip(wanted, again.batch(3), strict=True):
            assert (one is None and other is None) or torch.equal(one, other)


class TestTargets:
    @pytest.mark.parametrize("mode", ["cached", "live"])
    def test_the_features_that_a_method_asks_for_are_standardised_taps_of_the_very_views(
        self, mode: str, spec: Specs, shapes: Path, tmp_path: Path
    ) -> None:
        made = Stage1(spec(method="fitnet", views={"count": 4, "mode": mode}), shapes, tmp_path)
        batch = made.batch()
        taps = batch.teacher_taps_BW
        assert taps is not None and batch.teacher_logits_BK is not None
        assert taps.shape == (16, sum(made.task_teacher.taps.widths))
        assert taps.abs().max() <= 6
        probe = made.task_teacher.probe
        own = probe.linear(taps[:, -probe.widths[-1] :])
        torch.testing.assert_close(batch.teacher_logits_BK, own, atol=2e-2, rtol=1e-2)
        assert batch.teacher_z_BD is None

    def test_other_methods_get_none(self, spec: Specs, shapes: Path, tmp_path: Path) -> None:
        assert Stage1(spec(method="kd"), shapes, tmp_path).batch().teacher_taps_BW is None

    def test_the_proxy_space_is_read_as_it_was_trained(self, spec: Specs, shapes: Path, tmp_path: Path) -> None:
        made = Stage1(spec(), shapes, tmp_path)
        blend = made.task_teacher.blend
        assert isinstance(blend, Blend)
        alone = replace(made.task_teacher, blend=Blend(blend.reprogrammer, made.task_teacher.probe, 0.0))
        batch = BatchSource(made.run, made.images, TargetSource(made.run, alone)).at(0)
        assert batch.teacher_z_BD is not None and batch.teacher_logits_BK is not None
        torch.testing.assert_close(batch.teacher_z_BD.norm(dim=1), torch.ones(16), atol=1e-2, rtol=0)
        torch.testing.assert_close(blend.read(batch.teacher_z_BD), batch.teacher_logits_BK, atol=5e-2, rtol=1e-2)


class TestBalance:
    def test_sampling_shows_classes_equally_often_in_stage_2(self, spec: Specs, with_val: Path, tmp_path: Path) -> None:
        distill = {"batch_size": 15, "image_steps": 600}
        made = Stage1(spec(balance="sampling", distill=distill), with_val, tmp_path)
        batches = BatchSource(made.run, made.images, TargetSource(made.run, made.task_teacher))
        shown = torch.cat([batches.at(step).labels_B for step in range(batches.steps)])
        assert abs(int((shown == 0).sum()) - int((shown == 1).sum())) <= 1


class TestProbe:
    def test_the_probe_alone_decodes_nothing_for_a_student(self, spec: Specs, shapes: Path, tmp_path: Path) -> None:
        made = Stage1(spec(method="probe", student=None), shapes, tmp_path)
        assert made.task_teacher.blend is None
        assert len(made.images.squares) == 0
        assert made.task_teacher.judged_logits()[1].shape == (24, 3)
