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
from worker.training.teacher.task_teacher import UNTOLD_SHARE, Blend, blended, logits_of_clean

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
