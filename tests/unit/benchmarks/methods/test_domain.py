"""The domain term's tests measure what they say: on taps whose answers are known."""

import numpy as np
import pytest
import torch

from app.domain.config import ReprogramConfig
from benchmarks.methods import domain
from benchmarks.methods.corruptions import CORRUPTIONS, STRENGTHS
from benchmarks.methods.domain import Taps, measure, tells_apart
from worker.training.models.networks import build_teacher
from worker.training.teacher.proxy_space import Reprogrammer


class TestTellsApart:
    def test_everything_where_the_domains_lie_apart(self) -> None:
        a, b = torch.randn(100, 4), torch.randn(100, 4) + 20
        assert tells_apart((a[:50], b[:50]), (a[50:], b[50:])) == 1.0

    def test_nothing_where_they_are_the_same(self) -> None:
        points = torch.randn(200, 4)
        assert tells_apart((points[:100], points[:100]), (points[100:], points[100:])) == 0.5


class TestMeasure:
    def test_figures_of_a_shift_that_does_nothing_and_of_a_corruption_that_does(self) -> None:
        torch.manual_seed(0)
        teacher = build_teacher("test_resnet.random", 32)
        reprogrammer = Reprogrammer(teacher.widths, 3, ReprogramConfig(width=8)).eval()
        taps = torch.randn(60, sum(teacher.widths))
        with torch.no_grad():
            labels = reprogrammer(taps).logits_BK.argmax(1)
        corrupted = {"upside down": [taps, -taps]}
        figures = measure(reprogrammer, Taps(teacher, [], labels, taps, taps, taps, taps, corrupted))
        assert (figures["clean"], figures["gap"], figures["domain_classifier"]) == (1.0, 0.0, 0.5)
        assert figures["distance"] == pytest.approx(0, abs=1e-6)
        first, second = figures["by_corruption"]["upside down"]
        assert first == 1.0 > second
        assert figures["corrupted"] == (first + second) / 2


class TestTable:
    def test_pairs_the_variants_by_seed(self) -> None:
        lines = [
            {
                "data": "cutlery",
                "seed": seed,
                "variants": {"with": {"gap": 0.02 + 0.01 * seed}, "without": {"gap": 0.05}},
            }
            for seed in (1, 0)
        ]
        assert domain.table(lines).splitlines()[2:] == [
            "| cutlery | invariance gap | 2.5 % (2.0 – 3.0) | 5.0 % (5.0 – 5.0) | -2.5 (-3.0, -2.0) |"
        ]


class TestCorruptions:
    @pytest.mark.parametrize("name", CORRUPTIONS)
    def test_a_stronger_one_is_farther_from_the_image_and_can_be_made_again(self, name: str) -> None:
        x = np.linspace(0, 255, 64)
        image = np.stack([np.tile(x, (64, 1)), np.tile(x[:, None], (1, 64)), np.full((64, 64), 90.0)], 2)
        image[16:48:4, 16:48] = 220  # stripes: a blur of smooth light is no blur
        image = image.astype(np.uint8)
        results = [CORRUPTIONS[name](image, strength, np.random.default_rng(1)) for strength in STRENGTHS]
        distances = [float(np.abs(result.astype(int) - image).mean()) for result in results]
        assert 0 < distances[0] < distances[1] < distances[2]
        again = CORRUPTIONS[name](image, 0, np.random.default_rng(1))
        assert again.dtype == np.uint8 and again.shape == image.shape
        assert np.array_equal(again, results[0])
