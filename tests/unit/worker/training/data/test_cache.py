import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from worker.training.data.cache import Cache
from worker.training.data.records import RecordStore
from worker.training.engine.loop import Stopped

SHAPE = (3, 5)
PLENTY = 1 << 30


def names(*numbers: int) -> list[str]:
    return [hashlib.sha256(bytes([number])).hexdigest() for number in numbers]


def record(name: str) -> np.ndarray:
    return np.random.default_rng(int(name[:8], 16)).normal(size=SHAPE).astype(np.float16)


class Asked:
    """Computes records, and remembers for whom."""

    def __init__(self, ids: list[str]) -> None:
        self.ids = ids
        self.of: list[str] = []

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.of += [self.ids[row] for row in rows]
        return np.stack([record(self.ids[row]) for row in rows])


def open_store(root: Path, limit: int = PLENTY, what: str = "taps") -> RecordStore:
    return Cache(root, limit).store({"what": what}, SHAPE, np.float16)


def fill(store: RecordStore, ids: list[str], at_once: int = 4, stop_after: int = 1_000) -> list[str]:
    """Fills the store, checks that it answers, and returns whose records were computed."""
    asked = Asked(ids)
    records = store.fill(
        ids,
        asked,
        at_once=at_once,
        on_progress=lambda fraction: None,
        stop_requested=lambda: len(asked.of) >= stop_after,
    )
    np.testing.assert_array_equal(records[:], np.stack([record(name) for name in ids]))
    return asked.of


def files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.safetensors"))


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


class TestRecords:
    def test_rows_views_and_parts_are_read_as_from_an_array(self, tmp_path: Path) -> None:
        ids = names(*range(11))
        store = open_store(tmp_path)
        fill(store, ids[:6])
        fill(store, ids[6:])
        whole = np.stack([record(name) for name in ids])
        records = open_store(tmp_path).view(ids)
        assert records.shape == whole.shape
        np.testing.assert_array_equal(records[2:9], whole[2:9])
        rows, views = np.array([10, 0, 7, 7]), np.array([2, 0, 1, 2])
        np.testing.assert_array_equal(records.take(rows), whole[rows])
        np.testing.assert_array_equal(records.take(rows, views), whole[rows, views])
        np.testing.assert_array_equal(np.concatenate(list(records.pieces(4))), whole)

    def test_several_images_with_the_same_bytes_share_a_record(self, tmp_path: Path) -> None:
        ids = names(1, 2, 1)
        assert fill(open_store(tmp_path), ids) == ids[:2]

    def test_one_that_somebody_has_deleted_is_missed_by_its_folder(self, tmp_path: Path) -> None:
        store = open_store(tmp_path)
        store.put(names(1), record(names(1)[0])[None])
        shutil.rmtree(store.folder)

        with pytest.raises(FileNotFoundError) as missed:
            store.view(names(1))

        assert missed.value.filename == str(store.folder)

    def test_no_image_is_no_trouble(self, tmp_path: Path) -> None:
        assert len(open_store(tmp_path).view([])[:]) == 0


class TestFill:
    def test_computes_only_what_is_missing_whatever_the_order(self, tmp_path: Path) -> None:
        fill(open_store(tmp_path), names(*range(8)))
        assert fill(open_store(tmp_path), names(3, 0, 7)) == []
        assert fill(open_store(tmp_path), names(9, 3, 8, 0)) == names(9, 8)

    def test_another_description_is_another_store(self, tmp_path: Path) -> None:
        fill(open_store(tmp_path), names(1))
        assert fill(open_store(tmp_path, what="others"), names(1)) == names(1)

    def test_what_was_done_before_a_stop_is_kept(self, tmp_path: Path) -> None:
        ids = names(*range(20))
        with pytest.raises(Stopped):
            fill(open_store(tmp_path), ids, stop_after=8)
        assert fill(open_store(tmp_path), ids) == ids[8:]

    @pytest.mark.parametrize("place", [3, 60, 200, -1], ids=["length", "header", "ids or records", "last"])
    def test_a_wrong_byte_is_noticed_told_and_made_good(self, place: int, tmp_path: Path) -> None:
        ids, told = names(*range(9)), []
        store = open_store(tmp_path)
        fill(store, ids[:4])
        fill(store, ids[4:])
        flip(next(path for path in files(tmp_path) if path.stat().st_size > 400), place)
        cache = Cache(tmp_path, PLENTY, lambda code, message: told.append(code))
        again = fill(cache.store({"what": "taps"}, SHAPE, np.float16), ids)
        assert told == ["cache_damaged"]
        assert again in (ids[:4], ids[4:])
        assert fill(open_store(tmp_path), ids) == []


JOB = """
import sys
from pathlib import Path
import numpy as np
from worker.training.data.cache import Cache

root, ids = Path(sys.argv[1]), sys.argv[2:]
store = Cache(root, 1 << 30).store({"what": "taps"}, (3, 5), np.float16)
print("ready", flush=True)
sys.stdin.readline()

def compute(rows):
    rngs = [np.random.default_rng(int(ids[row][:8], 16)) for row in rows]
    return np.stack([rng.normal(size=(3, 5)).astype(np.float16) for rng in rngs])

for end in range(2, len(ids) + 1, 2):  # a file every two records
    store.fill(ids[:end], compute, at_once=2, on_progress=lambda fraction: None, stop_requested=lambda: False)
"""


@pytest.mark.slow
class TestTwoJobs:
    def test_may_fill_the_same_store_at_once(self, tmp_path: Path) -> None:
        orders = names(*range(40)), names(*reversed(range(40)))
        pipe = subprocess.PIPE
        jobs = [
            subprocess.Popen([sys.executable, "-c", JOB, str(tmp_path), *order], stdin=pipe, stdout=pipe, text=True)
            for order in orders
        ]
        for job in jobs:
            assert job.stdout is not None and job.stdout.readline() == "ready\n"
        for job in jobs:
            assert job.stdin is not None
            job.stdin.write("go\n")
            job.stdin.flush()
        assert [job.wait(timeout=60) for job in jobs] == [0, 0]
        assert fill(open_store(tmp_path), orders[0]) == []
        assert not list(tmp_path.rglob("*.tmp"))

    def test_what_one_has_open_stays_readable_when_another_removes_it(self, tmp_path: Path) -> None:
        fill(open_store(tmp_path), names(1))
        records = open_store(tmp_path).view(names(1))
        Cache(tmp_path, 0).trim()
        assert files(tmp_path) == []
        np.testing.assert_array_equal(records[:], record(names(1)[0])[None])


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


class TestBound:
    def filled(self, root: Path, count: int) -> tuple[list[Path], int]:
        """`count` stores of one file each, made in this order by jobs long ago; and a file's bytes."""
        made = []
        for number in range(count):
            before = set(files(root))
            fill(open_store(root, what=str(number)), names(number))
            (path,) = set(files(root)) - before
            age(path, 1000 - number)
            made.append(path)
        return made, made[0].stat().st_size

    def test_what_was_not_used_for_longest_goes_first(self, tmp_path: Path) -> None:
        made, size = self.filled(tmp_path, 4)
        cache = Cache(tmp_path, 3 * size)
        cache.store({"what": "0"}, SHAPE, np.float16).view(names(0))  # used now, so no longer the oldest
        fill(cache.store({"what": "new"}, SHAPE, np.float16), names(9))
        left = files(tmp_path)
        assert [path in left for path in made] == [True, False, False, True]
        assert sum(path.stat().st_size for path in left) <= 3 * size

    def test_a_job_larger_than_the_bound_still_runs(self, tmp_path: Path) -> None:
        cache = Cache(tmp_path, 1)
        for what in "abc":
            fill(cache.store({"what": what}, SHAPE, np.float16), names(1, 2), at_once=1)
        assert len(files(tmp_path)) == 3
        Cache(tmp_path, 1).trim()
        assert files(tmp_path) == []

    def test_other_files_are_left_alone_and_old_temporary_ones_go(self, tmp_path: Path) -> None:
        made, _ = self.filled(tmp_path, 1)
        (tmp_path / "model.safetensors").write_bytes(b"mine")
        young, old = (made[0].with_name(f".{name}.tmp") for name in ("young", "old"))
        for path in (young, old):
            path.write_bytes(b"half")
        age(old, 2 * 86_400)
        Cache(tmp_path, 0).trim()
        assert (tmp_path / "model.safetensors").exists()
        assert (young.exists(), old.exists(), made[0].exists()) == (True, False, False)


class TestState:
    def save(self, root: Path) -> dict[str, torch.Tensor]:
        state = {"weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(3)}
        Cache(root, PLENTY).save_state({"model": "probe"}, state, {"val_ce": 0.5})
        return state

    def test_comes_back_with_its_facts(self, tmp_path: Path) -> None:
        state = self.save(tmp_path)
        kept = Cache(tmp_path, PLENTY).load_state({"model": "probe"})
        assert kept is not None
        assert kept[1] == {"val_ce": 0.5}
        assert all(torch.equal(kept[0][name], state[name]) for name in state)
        assert Cache(tmp_path, PLENTY).load_state({"model": "other"}) is None

    def test_damaged_is_as_good_as_none_and_told(self, tmp_path: Path) -> None:
        self.save(tmp_path)
        flip(files(tmp_path)[0], -1)
        told: list[str] = []
        tell: Callable[[str, str], None] = lambda code, message: told.append(code)  # noqa: E731
        assert Cache(tmp_path, PLENTY, tell).load_state({"model": "probe"}) is None
        assert (told, files(tmp_path)) == (["cache_damaged"], [])
