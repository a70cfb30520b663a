import hashlib
from pathlib import Path

import numpy as np
import pytest

from worker.training.data.cache import Cache
from worker.training.data.records import Records
from worker.training.data.side_by_side import SideBySide

VIEWS, WIDTHS, COUNT = 3, (4, 6), 20
IDS = [hashlib.sha256(bytes([row])).hexdigest() for row in range(COUNT)]


@pytest.fixture
def parts(tmp_path: Path) -> list[Records]:
    """Of two stores."""
    cache, made = Cache(tmp_path, 1 << 30), []
    for width in WIDTHS:
        values = np.random.default_rng(width).normal(size=(COUNT, VIEWS, width)).astype(np.float16)
        store = cache.store({"width": width}, (VIEWS, width), np.float16)
        store.put(IDS, values)
        made.append(store.view(IDS))
    return made


def test_reads_as_one_array(parts: list[Records]) -> None:
    both, wanted = SideBySide(parts), np.concatenate([part[:] for part in parts], -1)
    assert (len(both), both.shape) == (COUNT, wanted.shape)
    rows, views = np.array([5, 0, 5, 19]), np.array([2, 0, 1, 1])
    np.testing.assert_array_equal(both[:], wanted)
    np.testing.assert_array_equal(both[rows], wanted[rows])
    np.testing.assert_array_equal(both.take(rows), wanted[rows])
    np.testing.assert_array_equal(both.take(rows, views), wanted[rows, views])
    np.testing.assert_array_equal(np.concatenate(list(both.pieces(7))), wanted)
    np.testing.assert_array_equal(both.view(IDS[::-2])[:], wanted[::-2])


def test_is_known_by_all_its_parts(parts: list[Records]) -> None:
    keys = {SideBySide(some).key for some in (parts, parts[::-1], parts[:1])}
    assert len(keys) == 3
