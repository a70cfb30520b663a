"""Copies of photographs, which must be found, and other photographs, which must not."""

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from app.ingest.near import near_groups
from app.ingest.picture import Picture, inspect_image


def scene(number: int, width: int = 160, height: int = 120) -> Image.Image:
    """Smooth patches of colour with an edge: no two numbers alike, as photographs are not."""
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def seen(image: Image.Image, format: str = "JPEG", **options: object) -> Picture:
    file = io.BytesIO()
    image.save(file, format, **options)
    found = inspect_image(file.getvalue())
    assert isinstance(found, Picture)
    return found


def groups(*pictures: Picture) -> list[list[int]]:
    return near_groups([picture.hash for picture in pictures], [picture.patch for picture in pictures])


class TestFinds:
    @pytest.mark.parametrize(
        "copy",
        [
            seen(scene(1), quality=40),
            seen(scene(1), "PNG"),
            seen(scene(1), "WEBP", quality=60),
            seen(scene(1).resize((80, 60)), quality=85),
            seen(scene(1).resize((320, 240)), quality=85),
        ],
        ids=["quality", "PNG", "WebP", "half", "double"],
    )
    def test_a_copy(self, copy: Picture) -> None:
        assert groups(seen(scene(0)), seen(scene(1), quality=90), seen(scene(2)), copy) == [[1, 3]]

    def test_chains_make_one_group(self) -> None:
        copies = [seen(scene(1), quality=quality) for quality in (95, 70, 40)]
        assert groups(copies[0], seen(scene(5)), *copies[1:]) == [[0, 2, 3]]

    def test_nothing_among_different_pictures(self) -> None:
        assert groups(*(seen(scene(number)) for number in range(200))) == []

    @pytest.mark.parametrize("change", ["mirrored", "upside down", "darker"])
    def test_not_what_training_would_call_another_view(self, change: str) -> None:
        other = {
            "mirrored": scene(1).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
            "upside down": scene(1).transpose(Image.Transpose.ROTATE_180),
            "darker": scene(1).point(lambda level: level * 0.8),
        }[change]
        assert groups(seen(scene(1)), seen(other)) == []

    def test_flat_pictures_only_of_the_same_colour(self) -> None:
        colours = ["red", "green", "#fe0101", "black"]
        assert groups(*(seen(Image.new("RGB", (40, 40), colour), "PNG") for colour in colours)) == [[0, 2]]

    @pytest.mark.parametrize("count", [0, 1])
    def test_nothing_in_next_to_nothing(self, count: int) -> None:
        assert groups(*(seen(scene(number)) for number in range(count))) == []


class TestCost:
    @pytest.mark.slow
    def test_grows_with_the_number_of_images(self) -> None:
        """The worst case: all have the same hash, and no two are alike. All pairs would be 450 million, and 90 GB."""
        count = 30_000
        patches = np.random.default_rng(0).integers(0, 256, (count, 192), dtype=np.uint8)
        tracemalloc.start()
        assert near_groups([7] * count, [bytes(row) for row in patches]) == []
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 2**29

    def test_every_pair_within_three_bits_is_a_candidate(self) -> None:
        rng = np.random.default_rng(0)
        hashes = [int(value) for value in rng.integers(0, 2**63, 500)]
        copies = [hash_ ^ sum(1 << int(bit) for bit in rng.choice(64, 3, replace=False)) for hash_ in hashes]
        found = near_groups(hashes + copies, [number.to_bytes(2, "big") * 96 for number in range(0, 65_000, 130)] * 2)
        assert found == [[number, number + 500] for number in range(500)]
