from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor

from app.domain.dataset import Split
from app.domain.spec import TrainingSpec
from app.reading.layout import index_folder
from tests.unit.worker.training.conftest import picture
from worker.training.data.cache import Cache
from worker.training.data.decoded import Pool
from worker.training.engine.loop import Optimisation, fit
from worker.training.models.networks import Teacher, state_digest
from worker.training.teacher.features import FeatureCache, TapSource
from worker.training.teacher.input_reprogramming import InputReprogramming, InputTask, reprogram_input

Specs = Callable[..., TrainingSpec]


def pictures(count: int, seed: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = np.stack([np.asarray(picture(int(label), rng))[4:36, 4:36] for label in labels])
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255, torch.from_numpy(labels)


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    """Knows bright shapes on a dark ground."""
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=3)
    images, labels = pictures(192, 0)
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    for step in range(60):
        rows = torch.from_numpy(np.random.default_rng(step).integers(0, 192, 32))
        optimiser.zero_grad()
        F.cross_entropy(network((images[rows] - 0.5) / 0.5), labels[rows]).backward()
        optimiser.step()
    network.reset_classifier(0)
    card = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "architecture": "test_resnet"}
    return Teacher("tiny", network, card, 32)


class TestInputReprogramming:
    def test_is_the_identity_at_first(self) -> None:
        images = torch.rand(4, 3, 20, 20)
        assert torch.equal(InputReprogramming()(images), images)

    @pytest.mark.slow
    def test_helps_a_teacher_whose_images_are_inverted_in_contrast(self, teacher: Teacher) -> None:
        images, labels = pictures(96, 1)
        unseen, truth = pictures(192, 2)
        before = teacher.digest()

        def loss(*, learns: bool) -> float:
            torch.manual_seed(0)
            module = InputReprogramming().requires_grad_(learns)
            task = InputTask(module, teacher, 3)

            def batch_at(step: int) -> tuple[Tensor, Tensor]:
                rows = torch.from_numpy(np.random.default_rng(step).integers(0, 96, 32))
                return 1 - images[rows], labels[rows]

            fit(task, module, batch_at, Optimisation(150, 1e-2, 0.0))
            task.eval()
            with torch.no_grad():
                return float(task((1 - unseen, truth), 1.0).loss)

        left_alone, reprogrammed = loss(learns=False), loss(learns=True)
        assert reprogrammed < 0.8 * left_alone
        assert teacher.digest() == before


@pytest.mark.slow
class TestReprogramInput:
    def source(self, spec: TrainingSpec, teacher: Teacher, shapes: Path, cache: Cache) -> TapSource:
        pool = Pool.from_splits(index_folder(shapes), Split.TRAIN)
        plain = TapSource(teacher, teacher.digest(), spec.views, "bilinear")
        return reprogram_input(plain, spec, pool, 3, shapes, cache, stop_requested=lambda: False)

    def test_the_teacher_s_answers_are_those_to_the_changed_images_and_kept_apart(
        self, spec: Specs, teacher: Teacher, shapes: Path, tmp_path: Path
    ) -> None:
        wanted = spec(reprogram={"image_size": 32, "input_reprogramming": True, "input_steps": 5})
        cache = Cache(tmp_path, 1 << 30)
        changed = self.source(wanted, teacher, shapes, cache)
        plain = TapSource(teacher, teacher.digest(), wanted.views, "bilinear")
        pool = Pool.from_splits(index_folder(shapes), Split.TEST)
        one, other = (
            FeatureCache.open(cache, source, "views", 2).compute(pool, shapes)[:] for source in (plain, changed)
        )
        assert (one != other).any()

    def test_a_second_job_takes_it_from_the_first(
        self, spec: Specs, teacher: Teacher, shapes: Path, tmp_path: Path
    ) -> None:
        wanted = spec(reprogram={"image_size": 32, "input_reprogramming": True, "input_steps": 5})
        first = self.source(wanted, teacher, shapes, Cache(tmp_path, 1 << 30))
        asked: list[int] = []
        hook = teacher.tapped.register_forward_hook(lambda *_: asked.append(1))
        again = self.source(wanted, teacher, shapes, Cache(tmp_path, 1 << 30))
        hook.remove()
        assert (again.prepared_by, asked) == (first.prepared_by, [])
        assert first.prepared_by != state_digest(InputReprogramming())
