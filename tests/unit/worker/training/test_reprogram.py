import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from app.domain.spec import ReprogramConfig
from worker.training.cache import Cache
from worker.training.records import Records
from worker.training.reprogram import LinearProbe, ProbeTask, Reprogrammer, ReprogramTask, Standardise, TapItems

WIDTHS = [3, 5]


def kept(root: Path, taps: np.ndarray) -> Records:
    ids = [hashlib.sha256(bytes([row])).hexdigest() for row in range(len(taps))]
    store = Cache(root, 1 << 30).store({"taps": hashlib.sha256(taps.tobytes()).hexdigest()}, taps.shape[1:], np.float16)
    store.put(ids, taps)
    return store.view(ids)


def some_taps(count: int, views: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(2, 3, (count, views, sum(WIDTHS))).astype(np.float16)


class TestStandardise:
    def test_mean_and_spread_are_those_of_all_views_however_many_an_image_has(self, tmp_path: Path) -> None:
        labelled, unlabelled = some_taps(70, 32, 0), some_taps(40, 1, 1)
        standardise = Standardise(sum(WIDTHS))
        standardise.fit(kept(tmp_path, labelled), kept(tmp_path, unlabelled), kept(tmp_path, unlabelled[:0]))
        flat = np.concatenate([taps.reshape(-1, sum(WIDTHS)) for taps in (labelled, unlabelled)]).astype(np.float64)
        np.testing.assert_allclose(standardise.mean, flat.mean(0), rtol=1e-5)
        np.testing.assert_allclose(standardise.std, flat.std(0), rtol=1e-5)


class TestTapItems:
    def test_views_take_turns_and_a_twin_is_of_the_same_image(self, tmp_path: Path) -> None:
        taps, shifted = some_taps(6, 4, 2), some_taps(6, 3, 3)
        items = TapItems(kept(tmp_path, taps), kept(tmp_path, shifted), np.arange(6) % 2)
        assert len(items) == 24
        rows, visits = np.array([5, 0, 3, 3]), np.array([0, 5, 6, 11])
        a, b, labels = items.batch(rows, visits, torch.device("cpu"))
        np.testing.assert_array_equal(a, taps[rows, [0, 1, 2, 3]])
        np.testing.assert_array_equal(b, shifted[rows, [0, 2, 0, 2]])
        assert labels.tolist() == [1, 0, 1, 1]


class TestProxies:
    def test_start_at_the_class_means(self, tmp_path: Path) -> None:
        taps, labels = some_taps(30, 2, 4), np.arange(30) % 3
        torch.manual_seed(0)
        reprogrammer = Reprogrammer(WIDTHS, 4, ReprogramConfig(width=8))
        untouched = reprogrammer.proxies[3].detach().clone()
        reprogrammer.start_at_class_means(kept(tmp_path, taps), labels)
        with torch.no_grad():
            z = reprogrammer(torch.from_numpy(taps[:, 0]).float()).z_BD
        for label in range(3):
            mean = torch.nn.functional.normalize(z[labels == label].mean(0), dim=0)
            torch.testing.assert_close(reprogrammer.proxies[label].detach(), mean, atol=1e-5, rtol=0)
        assert torch.equal(reprogrammer.proxies[3], untouched)


class TestClassWeights:
    @pytest.mark.parametrize("stage", ["probe", "reprogram"])
    def test_an_image_s_cross_entropy_counts_as_much_as_its_class_weighs(self, stage: str) -> None:
        torch.manual_seed(0)
        labels = torch.tensor([0, 0, 0, 1])
        batch = torch.randn(4, 8), torch.randn(4, 8), labels

        def ce(rows: slice, weights: torch.Tensor | None) -> torch.Tensor:
            torch.manual_seed(1)
            if stage == "probe":
                probe = LinearProbe(WIDTHS, 2)
                torch.nn.init.normal_(probe.linear.weight)
                task: torch.nn.Module = ProbeTask(probe, weights)
            else:
                config = ReprogramConfig(width=8, view_weight=0, moment_weight=0)
                task = ReprogramTask(Reprogrammer(WIDTHS, 2, config), config, weights)
            taps, shifted, wanted = batch
            return task.eval()((taps[rows], shifted[rows], wanted[rows]), 0.0).loss

        weighted = ce(slice(None), torch.tensor([0.5, 1.5]))
        by_hand = (0.5 * 3 * ce(slice(0, 3), None) + 1.5 * ce(slice(3, 4), None)) / 4
        torch.testing.assert_close(weighted, by_hand)
        assert not torch.isclose(weighted, ce(slice(None), None))
