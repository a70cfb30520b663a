from pathlib import Path

import numpy as np

from app.domain.dataset import Split
from app.domain.layout import index_folder
from app.imaging import fit_square, open_rgb
from worker.training.data import Batches, Pool, decode_squares


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


class TestPool:
    def test_unlabelled_images_come_last_and_carry_no_label(self, shapes: Path) -> None:
        pool = Pool.of(index_folder(shapes), Split.TRAIN, Split.UNLABELLED)
        assert (pool.labels[:12] >= 0).all()
        assert (pool.labels[12:] == -1).all()
        assert len(set(pool.keys)) == len(pool) == 36


class TestDecode:
    def test_squares_are_the_clean_preprocessing(self, shapes: Path, tmp_path: Path) -> None:
        pool = Pool.of(index_folder(shapes), Split.TEST)
        squares = decode_squares(shapes, pool, 20, "bilinear", tmp_path / "s.npy", lambda fraction: None)
        for row in (0, 11, len(pool) - 1):
            np.testing.assert_array_equal(
                squares[row], fit_square(open_rgb(shapes / pool.samples[row].path), 20, "bilinear")
            )

    def test_decodes_once_and_again_only_for_other_images(self, shapes: Path, tmp_path: Path) -> None:
        index, path, calls = index_folder(shapes), tmp_path / "s.npy", []
        for split in (Split.TEST, Split.TEST, Split.TRAIN):
            decode_squares(
                shapes, Pool.of(index, split), 20, "bilinear", path, lambda f, split=split: calls.append(split)
            )
        assert calls == [Split.TEST, Split.TRAIN]
