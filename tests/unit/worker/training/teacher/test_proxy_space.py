import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from app.domain.config import ReprogramConfig
from worker.training.data.cache import Cache
from worker.training.data.records import Records
from worker.training.teacher.proxy_space import (
    LinearProbe,
    ProbeTask,
    Reprogrammer,
    ReprogramTask,
    StageOneBatch,
    Standardise,
    TapItems,
)

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
        items = TapItems(kept(tmp_path, taps), kept(tmp_path, shifted))
        assert len(items) == 24
        rows, visits = np.array([5, 0, 3, 3]), np.array([0, 5, 6, 11])
        a, b = items.take(rows, visits, torch.device("cpu"))
        np.testing.assert_array_equal(a, taps[rows, [0, 1, 2, 3]])
        np.testing.assert_array_equal(b, shifted[rows, [0, 2, 0, 2]])


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
            return task.eval()(StageOneBatch(taps[rows], shifted[rows], wanted[rows]), 0.0).loss

        weighted = ce(slice(None), torch.tensor([0.5, 1.5]))
        by_hand = (0.5 * 3 * ce(slice(0, 3), None) + 1.5 * ce(slice(3, 4), None)) / 4
        torch.testing.assert_close(weighted, by_hand)
        assert not torch.isclose(weighted, ce(slice(None), None))


class TestUnlabelledImages:
    def parts(self, batch: StageOneBatch) -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        config = ReprogramConfig(width=8)
        return ReprogramTask(Reprogrammer(WIDTHS, 2, config), config).eval()(batch, 0.0).parts

    def test_join_the_domain_terms_and_leave_the_labels_cross_entropy_alone(self) -> None:
        torch.manual_seed(0)
        labelled = StageOneBatch(torch.randn(4, 8), torch.randn(4, 8), torch.tensor([0, 1, 0, 1]))
        more = torch.randn(3, 8), torch.randn(3, 8)
        alone, joined = self.parts(labelled), self.parts(labelled._replace(unlabelled=more))
        torch.testing.assert_close(alone["ce"], joined["ce"])
        assert not torch.isclose(alone["view"], joined["view"])
        together = StageOneBatch(
            torch.cat([labelled.taps_BW, more[0]]), torch.cat([labelled.shifted_BW, more[1]]), torch.zeros(7).long()
        )
        for term in ("view", "moment"):
            torch.testing.assert_close(joined[term], self.parts(together)[term])

    def test_guesses_are_learned_as_soft_labels_of_the_unlabelled_alone(self) -> None:
        torch.manual_seed(0)
        labelled = StageOneBatch(torch.randn(4, 8), torch.randn(4, 8), torch.tensor([0, 1, 0, 1]))
        more, guesses = (torch.randn(3, 8), torch.randn(3, 8)), torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
        guessed = self.parts(labelled._replace(unlabelled=more, guesses_UK=guesses))["guess"]
        torch.manual_seed(1)
        reprogrammer = Reprogrammer(WIDTHS, 2, ReprogramConfig(width=8)).eval()
        by_hand = -(guesses * reprogrammer(more[0]).logits_BK.log_softmax(1)).sum(1).mean()
        torch.testing.assert_close(guessed, by_hand.detach())
