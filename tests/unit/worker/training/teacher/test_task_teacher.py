import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from app.domain.config import ReprogramConfig
from worker.training.data.cache import Cache
from worker.training.data.records import Records
from worker.training.teacher.proxy_space import LinearProbe, Reprogrammer
from worker.training.teacher.task_teacher import (
    UNTOLD_SHARE,
    Blend,
    Ensemble,
    best_shares,
    blended,
    logits_of_clean,
)

WIDTHS, CLASSES = [4, 6], 3
CPU = torch.device("cpu")


@pytest.fixture
def models() -> tuple[Reprogrammer, LinearProbe]:
    torch.manual_seed(0)
    reprogrammer = Reprogrammer(WIDTHS, CLASSES, ReprogramConfig(width=8)).eval()
    probe = LinearProbe(WIDTHS, CLASSES).eval()
    torch.nn.init.normal_(probe.linear.weight)
    return reprogrammer, probe


@pytest.fixture
def taps(tmp_path: Path) -> Records:
    values = np.random.default_rng(0).normal(size=(60, sum(WIDTHS))).astype(np.float32)
    ids = [hashlib.sha256(bytes([row])).hexdigest() for row in range(len(values))]
    store = Cache(tmp_path, 1 << 30).store({"taps": 1}, values.shape[1:], np.float32)
    store.put(ids, values)
    return store.view(ids)


def error(model: torch.nn.Module, taps: Records, labels: np.ndarray) -> float:
    return float(F.cross_entropy(logits_of_clean(model, taps, CPU), torch.from_numpy(labels)))


class TestBlend:
    def test_answers_with_what_lies_between(self, models: tuple[Reprogrammer, LinearProbe], taps: Records) -> None:
        reprogrammer, probe = models
        some = torch.from_numpy(taps[:])
        own, probes = reprogrammer(some), probe(some)
        for share, logits in ((0.0, own.logits_BK), (1.0, probes), (0.25, 0.75 * own.logits_BK + 0.25 * probes)):
            answer = Blend(reprogrammer, probe, share)(some)
            torch.testing.assert_close(answer.logits_BK, logits)
            torch.testing.assert_close(answer.z_BD, own.z_BD)


class TestBlended:
    @pytest.mark.parametrize("right", [0, 1])
    def test_leans_to_the_one_that_knows_the_validation_images(
        self, models: tuple[Reprogrammer, LinearProbe], taps: Records, right: int
    ) -> None:
        labels = logits_of_clean(models[right], taps, CPU).argmax(1).numpy()
        chosen = blended(*models, taps, labels)
        assert (float(chosen.share) > 0.5) == bool(right)

    def test_is_never_worse_there_than_either(self, models: tuple[Reprogrammer, LinearProbe], taps: Records) -> None:
        for seed in range(5):
            labels = np.random.default_rng(seed).integers(0, CLASSES, len(taps))
            found = error(blended(*models, taps, labels), taps, labels)
            assert found <= min(error(model, taps, labels) for model in models) + 1e-6

    def test_trusts_the_proxy_space_more_where_nothing_tells(
        self, models: tuple[Reprogrammer, LinearProbe], taps: Records
    ) -> None:
        assert float(blended(*models, taps, np.empty(0, np.int64)).share) == UNTOLD_SHARE


class TestEnsemble:
    COLUMNS = (slice(0, 10), slice(10, 20), slice(0, 20))

    @pytest.fixture
    def blends(self) -> list[Blend]:
        """Two that read ten columns each, and one that reads all twenty."""
        torch.manual_seed(1)
        made = []
        for widths in (WIDTHS, WIDTHS, WIDTHS * 2):
            probe = LinearProbe(widths, CLASSES)
            torch.nn.init.normal_(probe.linear.weight)
            made.append(Blend(Reprogrammer(widths, CLASSES, ReprogramConfig(width=8)), probe, 0.5).eval())
        return made

    @pytest.mark.parametrize("shares", [(0.5, 0.2, 0.3), (0.0, 0.4, 0.6), (1.0, 0.0, 0.0)])
    def test_says_what_its_blends_say_of_their_columns(
        self, blends: list[Blend], shares: tuple[float, float, float]
    ) -> None:
        taps = torch.randn(7, 20)
        ensemble = Ensemble(blends, self.COLUMNS, shares)
        answer = ensemble(taps)
        each = [blend(taps[:, where]) for blend, where in zip(blends, self.COLUMNS, strict=True)]
        wanted = sum(share * one.logits_BK for share, one in zip(shares, each, strict=True))
        torch.testing.assert_close(answer.logits_BK, wanted)
        assert answer.z_BD.shape == (7, ensemble.width) == (7, 8 * sum(share > 0 for share in shares))
        torch.testing.assert_close(answer.z_BD.norm(dim=1), torch.ones(7))

    def test_its_spaces_side_by_side_are_read_as_one(self, blends: list[Blend]) -> None:
        spaces = [Blend(blend.reprogrammer, blend.probe, 0.0) for blend in blends]  # nothing of the probes
        ensemble = Ensemble(spaces, self.COLUMNS, (0.5, 0.2, 0.3))
        answer = ensemble(torch.randn(7, 20))
        torch.testing.assert_close(ensemble.read(answer.z_BD), answer.logits_BK)


class TestBestShares:
    @pytest.fixture
    def labels(self) -> torch.Tensor:
        return torch.from_numpy(np.random.default_rng(0).integers(0, CLASSES, 200))

    @staticmethod
    def voice(labels: torch.Tensor, knows: float, seed: int) -> torch.Tensor:
        noise = torch.randn(len(labels), CLASSES, generator=torch.Generator().manual_seed(seed))
        return knows * F.one_hot(labels, CLASSES) + noise

    def test_together_no_worse_than_any(self, labels: torch.Tensor) -> None:
        voices = [self.voice(labels, knows, seed) for seed, knows in enumerate((1.0, 1.5, 2.0))]
        shares = best_shares(voices, labels)
        mixed = sum(share * voice for share, voice in zip(shares, voices, strict=True))
        errors = [float(F.cross_entropy(voice, labels)) for voice in voices]
        assert float(F.cross_entropy(torch.as_tensor(mixed), labels)) <= min(errors) + 1e-4
        assert sum(shares) == pytest.approx(1)
        assert shares == sorted(shares)

    def test_one_that_knows_nothing_says_nothing(self, labels: torch.Tensor) -> None:
        shares = best_shares([self.voice(labels, 3.0, 0), 5 * self.voice(labels, 0.0, 1)], labels)
        assert shares == [1.0, 0.0]
