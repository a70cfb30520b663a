import shutil
from pathlib import Path

import numpy as np
import pytest

from app.domain.dataset import Split
from app.imaging import UnreadableImage, fit_square, open_rgb
from app.reading.layout import index_folder
from worker.training.data.cache import Cache
from worker.training.data.decoded import Batches, Pool, WithLabels, decode_squares


class TestBatches:
    def test_every_pass_shows_every_image_once(self) -> None:
        batches = Batches(np.arange(10), 4, seed=1)
        rows, passes = (np.concatenate(part) for part in zip(*[batches.at(step) for step in range(5)], strict=True))
        for number in range(2):
            assert sorted(rows[passes == number]) == list(range(10))
        assert not np.array_equal(rows[passes == 0], rows[passes == 1])

    def test_a_step_can_be_made_again_alone(self) -> None:
        straight = Batches(np.arange(7), 3, seed=5)
        wanted = [straight.at(step) for step in range(12)]
        for step in (11, 2, 7):
            rows, passes = Batches(np.arange(7), 3, seed=5).at(step)
            np.testing.assert_array_equal(rows, wanted[step][0])
            np.testing.assert_array_equal(passes, wanted[step][1])

    def test_the_seed_decides_the_order(self) -> None:
        assert not np.array_equal(Batches(np.arange(50), 50, 0).at(0)[0], Batches(np.arange(50), 50, 1).at(0)[0])


class TestWithLabels:
    def mixed(self) -> WithLabels:
        return WithLabels(Batches(np.arange(40), 8, seed=1), Batches(np.arange(5), 8, seed=2))

    def test_the_last_places_are_labelled_and_the_others_what_they_were(self) -> None:
        plain = Batches(np.arange(40), 8, seed=1)
        for step in range(10):
            rows, visits = self.mixed().at(step, 3)
            np.testing.assert_array_equal(rows[:5], plain.at(step)[0][:5])
            assert set(rows[5:]) <= set(range(5))
            assert len(visits) == len(rows) == 8
            np.testing.assert_array_equal(self.mixed().at(step, 0)[0], plain.at(step)[0])

    def test_labelled_images_take_turns(self) -> None:
        mixed = self.mixed()
        rows = np.concatenate([mixed.at(step, 8)[0] for step in range(5)])
        assert np.bincount(rows).tolist() == [8] * 5


class TestPool:
    def test_unlabelled_images_come_last_and_carry_no_label(self, shapes: Path) -> None:
        pool = Pool.from_splits(index_folder(shapes), Split.TRAIN, Split.UNLABELLED)
        assert (pool.labels[:12] >= 0).all()
        assert (pool.labels[12:] == -1).all()
        assert len(set(pool.keys)) == len(pool) == 36


class TestBalancedBatches:
    """Eight images of class 0, two of class 1, and ten without a label."""

    LABELS = np.array([0] * 8 + [1] * 2 + [-1] * 10)
    ROWS = np.arange(100, 120)

    def passes(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        batches = Batches(self.ROWS, 20, 3, self.LABELS)
        rows, visits = zip(*[batches.at(step) for step in range(count)], strict=True)
        return np.stack(rows) - 100, np.stack(visits)

    def test_classes_are_shown_equally_often_and_so_are_the_images_of_a_class(self) -> None:
        rows, _ = self.passes(8)
        shown = np.bincount(rows.ravel(), minlength=20)
        np.testing.assert_array_equal(shown[:8], 5)  # 8 passes · 10 labelled places / 2 classes / 8 images
        np.testing.assert_array_equal(shown[8:10], 20)

    def test_the_unlabelled_share_stays_what_it_is(self) -> None:
        rows, visits = self.passes(4)
        for number, one in enumerate(rows):
            assert sorted(one[one >= 10]) == list(range(10, 20))
            assert set(visits[number][one >= 10]) == {number}

    def test_an_image_shows_a_view_more_each_time_it_is_drawn(self) -> None:
        rows, visits = self.passes(8)
        for image in range(10):
            assert list(visits[rows == image]) == list(range((rows == image).sum()))

    def test_a_step_can_be_made_again_alone(self) -> None:
        straight = Batches(self.ROWS, 7, 5, self.LABELS)
        wanted = [straight.at(step) for step in range(12)]
        for step in (11, 2, 7):
            rows, visits = Batches(self.ROWS, 7, 5, self.LABELS).at(step)
            np.testing.assert_array_equal(rows, wanted[step][0])
            np.testing.assert_array_equal(visits, wanted[step][1])


class TestDecode:
    def decoded(self, folder: Path, pool: Pool, cache: Path) -> tuple[np.ndarray, int]:
        """Squares of 20 px, and how often progress was made, which is once for up to 64 images."""
        told: list[float] = []
        squares = decode_squares(folder, pool, 20, "bilinear", Cache(cache, 1 << 30), told.append)
        return squares[:], len(told)

    def test_squares_are_the_clean_preprocessing(self, shapes: Path, tmp_path: Path) -> None:
        pool = Pool.from_splits(index_folder(shapes), Split.TEST)
        squares, _ = self.decoded(shapes, pool, tmp_path)
        for row in (0, 11, len(pool) - 1):
            np.testing.assert_array_equal(
                squares[row], fit_square(open_rgb(shapes / pool.samples[row].path), 20, "bilinear")
            )

    def test_decodes_once_for_all_jobs_and_again_only_other_images(self, shapes: Path, tmp_path: Path) -> None:
        index = index_folder(shapes)
        test, train = Pool.from_splits(index, Split.TEST), Pool.from_splits(index, Split.TRAIN)
        first, times = self.decoded(shapes, test, tmp_path)
        assert times == 1
        again, times = self.decoded(shapes, test, tmp_path)
        assert times == 0
        np.testing.assert_array_equal(first, again)
        assert self.decoded(shapes, train, tmp_path)[1] == 1

    def test_renamed_files_are_the_same_images(self, shapes: Path, tmp_path: Path) -> None:
        self.decoded(shapes, Pool.from_splits(index_folder(shapes), Split.TEST), tmp_path / "cache")
        moved = tmp_path / "moved"
        shutil.copytree(shapes, moved)
        for number, path in enumerate(sorted(moved.rglob("*.png"), key=lambda path: path.read_bytes())):
            path.rename(path.with_name(f"renamed-{number}.png"))
        assert self.decoded(moved, Pool.from_splits(index_folder(moved), Split.TEST), tmp_path / "cache")[1] == 0

    def test_a_file_that_changed_since_it_was_indexed_is_refused(self, shapes: Path, tmp_path: Path) -> None:
        moved = tmp_path / "moved"
        shutil.copytree(shapes, moved)
        pool = Pool.from_splits(index_folder(moved), Split.TEST)
        shutil.copy(moved / pool.samples[1].path, moved / pool.samples[0].path)
        with pytest.raises(UnreadableImage, match="no longer"):
            self.decoded(moved, pool, tmp_path / "cache")
