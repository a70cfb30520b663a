import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from app.domain.config import ViewConfig
from app.domain.dataset import Split
from app.domain.workload import shifted_views
from app.imaging import fit_square, open_rgb
from app.reading.layout import index_folder
from tests.unit.worker.training.conftest import picture
from worker.training.data.cache import Cache
from worker.training.data.decoded import Pool
from worker.training.engine.loop import Stopped
from worker.training.models.networks import Teacher, build_teacher
from worker.training.teacher.features import FeatureCache, Kind, TapSource

VIEWS = 16
"""A CPU's teacher is shown 16 at once: one image. A piece of work has 128: 8 images."""


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    torch.manual_seed(0)
    return build_teacher("test_resnet.random", 32)


@pytest.fixture(scope="module")
def source(teacher: Teacher) -> TapSource:
    return TapSource(teacher, teacher.digest(), ViewConfig(), "bilinear")


@pytest.fixture(scope="module")
def pool(shapes: Path) -> Pool:
    return Pool.from_splits(index_folder(shapes), Split.TEST)


@contextmanager
def counted(teacher: Teacher) -> Iterator[list[int]]:
    """The sizes of the batches that the teacher is shown."""
    sizes: list[int] = []
    hook = teacher.register_forward_hook(lambda module, images, taps: sizes.append(len(images[0])))
    try:
        yield sizes
    finally:
        hook.remove()


def answers(root: Path, source: TapSource, kind: Kind = "views", views: int = VIEWS) -> FeatureCache:
    return FeatureCache.open(Cache(root, 1 << 30), source, kind, 1 if kind == "clean" else views)


class TestAnswers:
    @pytest.mark.parametrize("kind", ["views", "shifted", "clean"])
    def test_a_warm_cache_answers_with_the_same_bytes_and_leaves_the_teacher_alone(
        self, kind: Kind, source: TapSource, pool: Pool, shapes: Path, tmp_path: Path
    ) -> None:
        cold = answers(tmp_path, source, kind).compute(pool, shapes)[:]
        warm = answers(tmp_path, source, kind)
        assert warm.missing(pool) == 0
        with counted(source.teacher) as sizes:
            np.testing.assert_array_equal(warm.compute(pool, tmp_path / "no such folder")[:], cold)
        assert sizes == []

    def test_clean_answers_are_the_teacher_s_own(
        self, source: TapSource, pool: Pool, shapes: Path, tmp_path: Path
    ) -> None:
        taps = answers(tmp_path, source, "clean").compute(pool, shapes)[:]
        squares = [fit_square(open_rgb(shapes / sample.path), 32) for sample in pool.samples]
        images = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2) / 255
        np.testing.assert_allclose(taps, torch.cat(source.teacher(images), 1), atol=1e-4)

    def test_shifted_twins_differ_from_their_views(
        self, source: TapSource, pool: Pool, shapes: Path, tmp_path: Path
    ) -> None:
        one, other = (answers(tmp_path, source, kind).compute(pool, shapes)[:] for kind in ("views", "shifted"))
        assert np.abs(one.astype(np.float32) - other).mean() > 1e-3

    def test_an_answer_does_not_depend_on_what_else_was_asked(
        self, source: TapSource, pool: Pool, shapes: Path, tmp_path: Path
    ) -> None:
        together = answers(tmp_path / "a", source).compute(pool, shapes)[:]
        few = answers(tmp_path / "b", source).compute(Pool(pool.samples[5:8]), shapes)[:]
        np.testing.assert_array_equal(few, together[5:8])

    def test_new_images_are_asked_about_alone(
        self, source: TapSource, pool: Pool, shapes: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "data"
        shutil.copytree(shapes, folder)
        answers(tmp_path, source).compute(pool, folder)
        rng = np.random.default_rng(7)
        for number in range(3):
            picture(0, rng).save(folder / "test" / "lying" / f"new-{number}.png")
        larger = Pool.from_splits(index_folder(folder), Split.TEST)
        again = answers(tmp_path, source)
        assert (len(larger), again.missing(larger)) == (27, 3)
        with counted(source.teacher) as sizes:
            again.compute(larger, folder)
        assert sizes == [16] * 3

    def test_renamed_files_in_another_order_are_known(
        self, source: TapSource, pool: Pool, shapes: Path, tmp_path: Path
    ) -> None:
        answers(tmp_path, source).compute(pool, shapes)
        renamed = Pool(tuple(sample.model_copy(update={"path": "elsewhere"}) for sample in reversed(pool.samples)))
        assert answers(tmp_path, source).missing(renamed) == 0

    def test_a_stopped_job_is_gone_on_with(self, source: TapSource, pool: Pool, shapes: Path, tmp_path: Path) -> None:
        with counted(source.teacher) as sizes:
            with pytest.raises(Stopped):
                answers(tmp_path, source).compute(pool, shapes, stop_requested=lambda: len(sizes) == 16)
            resumed = answers(tmp_path, source).compute(pool, shapes)[:]
        assert sizes == [16] * 24
        np.testing.assert_array_equal(resumed, answers(tmp_path / "straight", source).compute(pool, shapes)[:])

    def test_a_wrong_byte_is_made_good(self, source: TapSource, pool: Pool, shapes: Path, tmp_path: Path) -> None:
        cold = answers(tmp_path, source).compute(pool, shapes)[:]
        (path,) = tmp_path.rglob("*.safetensors")
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
        np.testing.assert_array_equal(answers(tmp_path, source).compute(pool, shapes)[:], cold)


class TestWhatDecidesAnAnswer:
    @pytest.mark.parametrize(
        "other", [{"seed": 1}, {"min_scale": 0.5}, {"hflip": False}], ids=["seed", "smallest crop", "mirrored"]
    )
    def test_another_view_policy_is_asked_anew(
        self, other: dict[str, object], source: TapSource, pool: Pool, shapes: Path, tmp_path: Path
    ) -> None:
        first = answers(tmp_path, source).compute(pool, shapes)[:]
        changed = answers(tmp_path, dataclasses.replace(source, config=ViewConfig.model_validate(other)))
        assert changed.missing(pool) == len(pool)
        assert (changed.compute(pool, shapes)[:] != first).any()

    def test_the_student_s_own_jitter_is_none_of_the_teacher_s_business(
        self, source: TapSource, pool: Pool, shapes: Path, tmp_path: Path
    ) -> None:
        answers(tmp_path, source).compute(pool, shapes)
        other = dataclasses.replace(source, config=ViewConfig(jitter=0.1, mode="cached"))
        assert answers(tmp_path, other).missing(pool) == 0

    @pytest.mark.parametrize("name, side, seed", [("test_resnet.random", 48, 0), ("test_resnet.random", 32, 1)])
    def test_another_size_or_teacher_is_asked_anew(
        self, name: str, side: int, seed: int, source: TapSource, pool: Pool, shapes: Path, tmp_path: Path
    ) -> None:
        answers(tmp_path, source).compute(pool, shapes)
        torch.manual_seed(seed)
        teacher = build_teacher(name, side)
        other = dataclasses.replace(source, teacher=teacher, digest=teacher.digest())
        assert answers(tmp_path, other).missing(pool) == len(pool)

    def test_another_count_of_views_is_asked_anew(
        self, source: TapSource, pool: Pool, shapes: Path, tmp_path: Path
    ) -> None:
        answers(tmp_path, source).compute(pool, shapes)
        assert answers(tmp_path, source, views=VIEWS + 1).missing(pool) == len(pool)


@pytest.mark.parametrize(
    ("labelled", "views", "wanted"),
    [(0, 4, 4), (200, 4, 4), (1024, 4, 4), (1025, 4, 3), (1620, 4, 2), (3068, 4, 1), (100_000, 4, 1), (200, 2, 2)],
)
def test_many_images_have_fewer_twins_each_and_none_has_more_than_views(labelled: int, views: int, wanted: int) -> None:
    assert shifted_views(labelled, views) == wanted
