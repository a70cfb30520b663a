"""Stage 1 with fewer views: what it reads, and the table."""

import hashlib
from pathlib import Path

import numpy as np

from benchmarks.common.training import packed
from benchmarks.methods.views import ROWS, first_views, table
from worker.training.data.cache import Cache

VIEWS, COUNT = 3, 10
IDS = [hashlib.sha256(bytes([row])).hexdigest() for row in range(COUNT)]


def test_reads_the_first_views(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(COUNT, VIEWS, 4)).astype(np.float16)
    store = Cache(tmp_path, 1 << 30).store({}, values.shape[1:], np.float16)
    store.put(IDS, values)
    records = store.view(IDS)
    fewer, wanted = first_views(records, 2), values[:, :2]
    assert (len(fewer), fewer.shape) == (COUNT, wanted.shape)
    rows, views = np.array([5, 0, 5]), np.array([1, 0, 1])
    np.testing.assert_array_equal(fewer[rows], wanted[rows])
    np.testing.assert_array_equal(fewer.take(rows), wanted[rows])
    np.testing.assert_array_equal(fewer.take(rows, views), wanted[rows, views])
    np.testing.assert_array_equal(np.concatenate(list(fewer.pieces(7))), wanted)
    np.testing.assert_array_equal(fewer.view(IDS[::-2])[:], wanted[::-2])
    assert fewer.key != records.key
    assert first_views(records, VIEWS) is records


def test_tells_what_each_row_loses() -> None:
    all_right, half = {"right": packed([True, True])}, {"right": packed([True, False])}
    rows = {str(row): {"accuracy": 0.5, "ce": 0.7, **half} for row in ROWS}
    rows[str(ROWS[0])] = {"accuracy": 1.0, "ce": 0.5, **all_right}
    lines = [{"data": data, "seed": 0, "rows": rows} for data in ("clothing", "grocery")]
    found = [line.split(" | ") for line in table(lines).splitlines()]
    [mean] = [cells for cells in found if cells[0] == "| mean of 2" and cells[1] == str(ROWS[1])]
    assert mean[2:5] == ["50.0 %", "-50.0 [-100.0, +0.0]", "0.700"]
