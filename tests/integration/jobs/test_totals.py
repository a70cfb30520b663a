"""What is counted over all time, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from app.db.engine import Store
from app.db.queries import statistics


class TestAdd:
    def test_counts_each_label_of_each_name_by_itself(self, store: Store) -> None:
        with store.write() as session:
            statistics.add(session, statistics.ATTEMPTS)
            statistics.add(session, statistics.ATTEMPTS)
            statistics.add(session, statistics.STAGE_SECONDS, "decode", 1.5)
            statistics.add(session, statistics.STAGE_SECONDS, "teacher", 2.0)
        with store.write() as session:
            statistics.add(session, statistics.STAGE_SECONDS, "decode", 0.25)

        with store.read() as session:
            assert statistics.totals(session) == {
                ("attempts", ""): 2.0,
                ("stage_seconds", "decode"): 1.75,
                ("stage_seconds", "teacher"): 2.0,
            }

    def test_forgets_what_is_rolled_back(self, store: Store) -> None:
        with pytest.raises(RuntimeError), store.write() as session:
            statistics.add(session, statistics.ATTEMPTS)
            raise RuntimeError
        with store.read() as session:
            assert statistics.totals(session) == {}

    def test_loses_none_of_those_that_count_at_once(self, store: Store) -> None:
        together = Barrier(4)

        def count(_: int) -> None:
            together.wait()
            for _ in range(5):
                with store.write() as session:
                    statistics.add(session, statistics.JOBS_FINISHED, "succeeded")
                    statistics.add(session, statistics.STAGE_SECONDS, "decode", 0.5)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(count, range(4)))
        with store.read() as session:
            assert statistics.totals(session) == {
                ("jobs_finished", "succeeded"): 20.0,
                ("stage_seconds", "decode"): 10.0,
            }
