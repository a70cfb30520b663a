import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_model

from app.domain.files import sha256_file
from app.domain.layout import index_folder
from app.domain.progress import LINE, EventLine, MetricLine
from app.domain.spec import TrainingSpec
from worker.training.distill import DistillBatch
from worker.training.feed import Feed
from worker.training.knowledge import Knowledge, Targets
from worker.training.loading import load
from worker.training.models import state_digest
from worker.training.prepare import Images, Run, prepare
from worker.training.report import Reporter
from worker.training.stage_one import reprogram

from .conftest import picture

Specs = Callable[..., TrainingSpec]


class Stage1:
    """What the first two stages of a run make and print."""

    def __init__(self, spec: TrainingSpec, data: Path, out_dir: Path) -> None:
        self.printed = io.StringIO()
        out_dir.mkdir(parents=True, exist_ok=True)
        self.run = Run(spec, data, out_dir, torch.device("cpu"), Reporter(self.printed), lambda: False)
        images, taps = prepare(self.run, index_folder(data))
        assert taps is not None
        self.images: Images = images
        self.knowledge: Knowledge = reprogram(self.run, images, taps)
        self.digest = state_digest(self.knowledge.model)

    @property
    def events(self) -> list[str]:
        lines = map(LINE.validate_json, self.printed.getvalue().splitlines())
        return [line.code for line in lines if isinstance(line, EventLine)]

    @property
    def last_metrics(self) -> dict[str, float]:
        lines = map(LINE.validate_json, self.printed.getvalue().splitlines())
        return [line.values for line in lines if isinstance(line, MetricLine)][-1]

    def batch(self, step: int = 0) -> DistillBatch:
        return Feed(self.run, self.images, Targets(self.run, self.knowledge)).at(step)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of a host."""
    monkeypatch.setenv("TDMR_CACHE_DIR", str(tmp_path / "cache"))
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
def local_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A teacher whose weights do not depend on the job's seed."""
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
    monkeypatch.setenv("TDMR_MODELS_DIR", str(folder))
    return "tiny"


class TestReuse:
    def test_a_second_job_takes_stage_1_from_the_first(
        self, spec: Specs, with_val: Path, tmp_path: Path, shared: Path
    ) -> None:
        first = Stage1(spec(), with_val, tmp_path / "first")
        again = Stage1(spec(distill={"image_steps": 64}), with_val, tmp_path / "again")
        assert again.digest == first.digest
        assert "reprogram_reused" in again.events
        assert "reprogram_reused" not in first.events
        assert again.last_metrics == first.last_metrics
        assert "val_accuracy" in again.last_metrics
        assert again.run.reporter.expected["prepare"] < first.run.reporter.expected["prepare"]
        for name in ("probe.safetensors", "reprogrammed.safetensors"):
            assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()

    def test_another_seed_shares_the_answers_but_not_stage_1(
        self, spec: Specs, shapes: Path, tmp_path: Path, shared: Path, local_teacher: str
    ) -> None:
        first = Stage1(spec(teacher=local_teacher), shapes, tmp_path / "first")
        known = sorted((shared / "records").iterdir())
        other = Stage1(spec(teacher=local_teacher, seed=1), shapes, tmp_path / "other")
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
        first = Stage1(spec(), with_val, tmp_path / "first")
        other = Stage1(spec(**change), with_val, tmp_path / "other")
        assert "reprogram_reused" not in other.events
        assert other.digest != first.digest

    def test_a_wrong_byte_is_told_and_everything_comes_out_the_same(
        self, spec: Specs, shapes: Path, tmp_path: Path, shared: Path
    ) -> None:
        first = Stage1(spec(), shapes, tmp_path / "first")
        wanted = first.batch(3)
        for path in sorted(shared.rglob("*.safetensors")):
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(content)
        again = Stage1(spec(), shapes, tmp_path / "again")
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
        assert taps.shape == (16, sum(made.knowledge.taps.teacher.widths))
        assert taps.abs().max() <= 6
        probe = made.knowledge.probe
        own = probe.linear(taps[:, -probe.widths[-1] :])
        torch.testing.assert_close(batch.teacher_logits_BK, own, atol=2e-2, rtol=1e-2)
        assert batch.teacher_z_BD is None

    def test_other_methods_get_none(self, spec: Specs, shapes: Path, tmp_path: Path) -> None:
        assert Stage1(spec(method="kd"), shapes, tmp_path).batch().teacher_taps_BW is None

    def test_the_proxy_space_is_read_as_it_was_trained(self, spec: Specs, shapes: Path, tmp_path: Path) -> None:
        made = Stage1(spec(), shapes, tmp_path)
        batch, reprogrammer = made.batch(), made.knowledge.reprogrammer
        assert reprogrammer is not None and batch.teacher_z_BD is not None and batch.teacher_logits_BK is not None
        torch.testing.assert_close(batch.teacher_z_BD.norm(dim=1), torch.ones(16), atol=1e-2, rtol=0)
        torch.testing.assert_close(reprogrammer.read(batch.teacher_z_BD), batch.teacher_logits_BK, atol=5e-2, rtol=1e-2)


class TestBalance:
    def test_sampling_shows_classes_equally_often_in_stage_2(self, spec: Specs, with_val: Path, tmp_path: Path) -> None:
        distill = {"batch_size": 15, "image_steps": 600}
        made = Stage1(spec(balance="sampling", distill=distill), with_val, tmp_path)
        feed = Feed(made.run, made.images, Targets(made.run, made.knowledge))
        shown = torch.cat([feed.at(step).labels_B for step in range(feed.steps)])
        assert abs(int((shown == 0).sum()) - int((shown == 1).sum())) <= 1


class TestProbe:
    def test_the_probe_alone_decodes_nothing_for_a_student(self, spec: Specs, shapes: Path, tmp_path: Path) -> None:
        made = Stage1(spec(method="probe", student=None), shapes, tmp_path)
        assert made.knowledge.reprogrammer is None
        assert len(made.images.squares) == 0
        assert made.knowledge.judged_logits()[1].shape == (24, 3)
