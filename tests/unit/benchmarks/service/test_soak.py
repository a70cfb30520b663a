"""The soak's judgement: a test of hours must not be the first to try it."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import Artifact, Job
from app.domain.states import JobState
from app.services.states import add_event, move_job
from app.storage.keys import artifact_key
from benchmarks.service.soak.ledger import Ledger
from benchmarks.service.soak.samples import growth
from benchmarks.service.soak.table import tables
from benchmarks.service.soak.verdict import of_jobs
from benchmarks.service.supervised import Supervised, marked
from tests.databases import migrate

WAIT_SECONDS = 60


def sample(rss: int) -> dict[str, Any]:
    seen = {"pid": 1, "rss": rss, "descriptors": 10, "threads": 5}
    return {"processes": {"api-a": seen | {"rss": 7}, "api-b": seen}}


class TestGrowth:
    def test_is_between_the_quarters_after_the_warm_up(self) -> None:
        samples = [sample(rss) for rss in (*[50] * 15, *[100] * 40, *[130] * 45)]
        assert growth(samples)["api-b"]["rss"] == {"first": 100, "last": 130}

    def test_is_told_of_the_spared_host_alone(self) -> None:
        assert growth([sample(1)]).keys() == {"api-b"}


class TestLedger:
    def test_progress_that_goes_back_is_a_finding(self) -> None:
        ledger = Ledger()
        for progress in (0.1, 0.5, 0.5, 0.4):
            ledger.see_progress("job_1", progress)
        assert ledger.findings == ["job_1: progress went back from 0.5 to 0.4"]


class TestVerdict:
    """Of a store in which one thing is wrong."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        migrate(f"sqlite:///{tmp_path / 'store.db'}")
        store = Store(f"sqlite:///{tmp_path / 'store.db'}")
        yield store
        store.close()

    def test_accepts_what_ended_as_it_should(self, store: Store) -> None:
        assert not findings(store, "succeeded", add_job(store))

    def test_misses_what_was_accepted_and_is_not_there(self, store: Store) -> None:
        assert findings(store, "succeeded", "job_1") == ["job_1 was accepted and is lost instead of succeeded: None"]

    def test_finds_another_end(self, store: Store) -> None:
        job_id = add_job(store)
        assert findings(store, "cancelled", job_id) == [
            f"{job_id} was accepted and is succeeded instead of cancelled: None"
        ]

    def test_finds_an_attempt_that_ran_beside_another(self, store: Store) -> None:
        job_id = add_job(store)
        with store.write() as session:
            add_event(session, session.get_one(Job, job_id), "state", "claimed", "", data=RUNNING)
        wrong = findings(store, "succeeded", job_id)
        assert len(wrong) == 2
        assert "its states do not follow each other" in wrong[0]
        assert wrong[1] == f"{job_id} is at attempt 1 and was claimed for [1, 1]"

    def test_finds_files_that_no_success_has_published(self, store: Store) -> None:
        job_id = add_job(store)
        with store.write() as session:
            session.execute(delete(Artifact))
        assert findings(store, "succeeded", job_id) == [f"{job_id} is succeeded and has the files []"]


RUNNING = {"from": "queued", "to": "running"}


def add_job(store: Store) -> str:
    """One that was claimed once and has succeeded."""
    job = Job(id=new_id("job"), dataset_id=new_id("ds"), spec={}, epoch=1)
    with store.write() as session:
        session.add(job)
        move_job(session, job, JobState.RUNNING, "claimed")
        move_job(session, job, JobState.SUCCEEDED, "succeeded")
        key = artifact_key(job.id, 1, "a")
        session.add(Artifact(job_id=job.id, name="a", bytes=1, sha256="0" * 64, media_type="a/b", storage_key=key))
    return job.id


def findings(store: Store, ends_as: str, job_id: str) -> list[str]:
    ledger = Ledger()
    ledger.accept_job(job_id, ends_as)
    with store.read() as session:
        jobs = list(session.scalars(select(Job)))
    return list(of_jobs(store, ledger, jobs))


class TestTables:
    def test_tell_what_was_killed_how_all_ended_and_what_grew(self) -> None:
        counts = {"killed: api": 2, "killed: redis": 1, "jobs succeeded": 3, "jobs cancelled": 1, "answers": 1234}
        grown = {measure: {"first": 2 * 10**6, "last": 3 * 10**6} for measure in ("rss", "descriptors", "threads")}
        shown = tables([{"minutes": 9, "counts": counts, "findings": 0, "growth": {"api-b": grown}}])
        assert "| 9 | 3: 2 api, 1 redis |  | 1 cancelled, 3 succeeded | 0 | 1,234 |" in shown
        assert "| 9 | api | 2 → 3 |" in shown


class TestSupervised:
    @pytest.fixture
    def sleeper(self, tmp_path: Path) -> Supervised:
        environment = os.environ | {"TDMR_TEST_MARK": str(tmp_path)}
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        return Supervised("sleeper", command, environment, tmp_path / "log")

    def test_is_started_again_when_it_is_killed_and_not_when_it_is_stopped(
        self, sleeper: Supervised, tmp_path: Path
    ) -> None:
        sleeper.start()
        sleeper.kill()
        wait_for(lambda: sleeper.starts == 2)
        assert [process.pid for process in marked("TDMR_TEST_MARK", str(tmp_path))]
        assert sleeper.stop(WAIT_SECONDS)
        assert sleeper.process() is None and not marked("TDMR_TEST_MARK", str(tmp_path))

    def test_is_killed_where_it_does_not_stop(self, tmp_path: Path) -> None:
        ignores = f"import signal, time; signal.signal({signal.SIGTERM:d}, signal.SIG_IGN); print(1, flush=True); "
        log = tmp_path / "log"
        deaf = Supervised("deaf", [sys.executable, "-c", ignores + "time.sleep(600)"], os.environ, log)
        deaf.start()
        wait_for(lambda: log.read_text() != "")
        assert not deaf.stop(0.1)
        assert deaf.process() is None


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited for too long"
        time.sleep(0.02)
