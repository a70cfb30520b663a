import numpy as np
import pytest
import torch

from app.domain.config import ViewConfig
from worker.training.data.views import CHANGE_NUMBERS, crop_matrices, cut, jitter, shift, strongly_changed, uniform

KEYS = np.random.default_rng(0).integers(0, 2**63, 200, dtype=np.uint64)
VIEWS = np.arange(200) % 7


class TestUniform:
    def test_a_view_is_the_same_alone_and_in_any_batch(self) -> None:
        together = uniform(3, KEYS, VIEWS, 5)
        alone = np.concatenate([uniform(3, KEYS[i : i + 1], VIEWS[i : i + 1], 5) for i in range(len(KEYS))])
        np.testing.assert_array_equal(together, alone)

    def test_seed_image_and_view_each_change_the_numbers(self) -> None:
        base = uniform(3, KEYS, VIEWS, 1)
        for other in (
            uniform(4, KEYS, VIEWS, 1),
            uniform(3, KEYS + np.uint64(1), VIEWS, 1),
            uniform(3, KEYS, VIEWS + 1, 1),
        ):
            assert np.mean(base == other) < 0.01

    def test_numbers_fill_the_unit_interval_evenly(self) -> None:
        numbers = uniform(0, np.arange(20_000, dtype=np.uint64), np.zeros(20_000, dtype=np.int64), 3)
        assert numbers.min() >= 0
        assert numbers.max() < 1
        counts = np.stack([np.histogram(column, bins=10, range=(0, 1))[0] for column in numbers.T])
        assert np.abs(counts / 2_000 - 1).max() < 0.1
        assert np.abs(np.corrcoef(numbers.T) - np.eye(3)).max() < 0.05


class TestCrops:
    def test_crops_stay_inside_the_image(self) -> None:
        matrices = crop_matrices(0, KEYS, VIEWS, ViewConfig(min_scale=0.05)).numpy()
        reach = np.abs(matrices[:, :, :2]).sum(2) + np.abs(matrices[:, :, 2])
        assert reach.max() <= 1 + 1e-5

    def test_mirrors_half_of_the_views_and_none_when_told_not_to(self) -> None:
        mirrored = crop_matrices(0, KEYS, VIEWS, ViewConfig())[:, 0, 0] < 0
        assert 0.35 < mirrored.float().mean() < 0.65
        assert (crop_matrices(0, KEYS, VIEWS, ViewConfig(hflip=False))[:, 0, 0] > 0).all()

    def test_the_whole_image_at_its_own_size_is_the_image(self) -> None:
        squares = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8)
        whole = torch.eye(2, 3).expand(3, 2, 3)
        torch.testing.assert_close(cut(squares, whole, 16), squares.permute(0, 3, 1, 2) / 255, atol=1e-5, rtol=0)

    def test_teacher_and_student_see_the_same_crop_at_different_sizes(self) -> None:
        ramp = torch.linspace(0, 255, 64).round().to(torch.uint8)
        squares = torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64), ramp.expand(64, 64)], -1)[None]
        matrices = crop_matrices(0, KEYS[:1], VIEWS[:1], ViewConfig())
        small = cut(squares, matrices, 32)
        large = cut(squares.repeat_interleave(2, 1).repeat_interleave(2, 2), matrices, 64)
        shrunk = torch.nn.functional.avg_pool2d(large, 2)
        torch.testing.assert_close(small, shrunk, atol=0.02, rtol=0)

    def test_cuts_where_the_matrix_says(self) -> None:
        squares = torch.randint(0, 256, (200, 20, 20, 3), dtype=torch.uint8)
        matrices = crop_matrices(0, KEYS, VIEWS, ViewConfig())
        grid = torch.nn.functional.affine_grid(matrices, [200, 3, 16, 16], align_corners=False)
        images = squares.permute(0, 3, 1, 2) / 255
        wanted = torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
        torch.testing.assert_close(cut(squares, matrices, 16), wanted, atol=1e-4, rtol=0)


class TestColour:
    def test_no_jitter_leaves_the_image(self) -> None:
        images = torch.rand(4, 3, 8, 8)
        assert jitter(images, 0.0, torch.rand(4, 3)) is images
        torch.testing.assert_close(jitter(images, 0.4, torch.full((4, 3), 0.5)), images)

    def test_jitter_and_shift_stay_in_range_and_change_each_image_its_own_way(self) -> None:
        images = torch.rand(1, 3, 16, 16).expand(8, 3, 16, 16)
        for changed in (jitter(images, 1.0, torch.rand(8, 3)), shift(images, torch.rand(8, 9))):
            assert changed.min() >= 0
            assert changed.max() <= 1
            assert (changed[0] - changed[1]).abs().max() > 0.01

    def test_a_shifted_twin_is_the_same_alone_and_in_any_batch(self) -> None:
        images, numbers = torch.rand(16, 3, 40, 40), torch.rand(16, 9)
        alone = torch.cat([shift(images[i : i + 1], numbers[i : i + 1]) for i in range(16)])
        torch.testing.assert_close(shift(images, numbers), alone, atol=0, rtol=0)

    def test_shift_blurs_and_coarsens_half_of_the_images_each(self) -> None:
        images = torch.rand(4, 3, 16, 16).round()  # a pattern that any blur shows
        still = torch.tensor([0.5, 0.5, 0.5, 0.4, 1 / 1.2, 0.5 / 0.9, 0.5, 0.5, 0.5])  # strengths of 0, factors of 1
        numbers = still.repeat(4, 1)
        numbers[1, 6] = numbers[2, 7] = 1.0
        numbers[3, 6] = 0.2
        shifted = shift(images, numbers)
        torch.testing.assert_close(shifted[[0, 3]], images[[0, 3]], atol=1e-3, rtol=0)
        padded = torch.nn.functional.pad(images[1:2], (2, 2, 2, 2), mode="replicate")
        blurred = torch.nn.functional.avg_pool2d(padded, 5, stride=1)
        torch.testing.assert_close(shifted[1:2], blurred, atol=1e-3, rtol=0)
        low = torch.nn.functional.avg_pool2d(images[2:3], 4)
        coarse = torch.nn.functional.interpolate(low, size=(16, 16), mode="bilinear")
        torch.testing.assert_close(shifted[2:3], coarse, atol=1e-3, rtol=0)

    def test_a_strong_change_is_the_images_own_and_leaves_the_jitters_numbers(self) -> None:
        images, numbers = torch.rand(16, 3, 40, 40), torch.rand(16, CHANGE_NUMBERS)
        changed = strongly_changed(images, numbers)
        assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
        alone = torch.cat([strongly_changed(images[i : i + 1], numbers[i : i + 1]) for i in range(16)])
        torch.testing.assert_close(changed, alone, atol=1e-5, rtol=0)
        numbers[:, :3] = 0.5
        torch.testing.assert_close(strongly_changed(images, numbers), changed, atol=0, rtol=0)

    def test_strong_numbers_turn_and_cut_a_hole_of_the_stated_size(self) -> None:
        images = torch.zeros(1, 3, 40, 40)
        images[:, :, :, :20] = 1.0  # the left half is white
        still = torch.tensor(
            [[0.5, 0.5, 0.5, 0.4, 1 / 1.2, 0.5 / 0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.0, 0.5, 0.5]]
        )
        numbers = torch.cat([torch.zeros(1, 3), still], 1)
        torch.testing.assert_close(strongly_changed(images, numbers), images, atol=2e-3, rtol=0)
        holed = numbers.clone()
        holed[:, -3] = 1.0  # half of the side, in the middle
        hole = strongly_changed(images, holed) == 0.5
        assert hole[0, 0].sum() == 20 * 20 and hole[0, 0, 10:30, 10:30].all()
        turned = numbers.clone()
        turned[:, -7] = 1.0
        leaning = strongly_changed(images, turned)
        assert float(leaning[0, 0, 2].mean()) != pytest.approx(float(leaning[0, 0, -3].mean()), abs=0.2)
