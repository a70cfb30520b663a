"""One job that does not come to its own end: cancelled, handed back, taken over, beyond a limit, without its store."""

import os
import signal

import pytest
from sqlalchemy import text, update

from app.db.models import Job
from app.domain.states import JobState, StopRequest
from app.services import leases
from tests.integration.supervising import Harness, is_gone, wait_for


class TestCancel:
    @pytest.mark.parametrize("behaviour", ["waits", "is stubborn"])
    def test_kills_the_child(self, harness: Harness, behaviour: str) -> None:
        job_id = harness.submit()

        with harness.running(behaviour):
            pid = harness.child(job_id)
            harness.ask(job_id, StopRequest.CANCEL)

        assert harness.job(job_id).state == JobState.CANCELLED
        assert is_gone(pid)
        assert list((harness.settings.scratch / "jobs").iterdir()) == []


class TestStopping:
    def test_hands_the_job_back_and_the_next_attempt_goes_on_from_the_checkpoint(self, harness: Harness) -> None:
        job_id = harness.submit()

        with harness.running("waits"):
            pid = harness.child(job_id)
            harness.stopping.set()

        assert harness.job(job_id).state == JobState.QUEUED
        assert harness.requeued == [job_id]
        assert is_gone(pid)
        assert (harness.out(job_id) / "checkpoint").read_text() == "half way"

        harness.stopping.clear()
        harness.supervisor("waits").run_next()  # waits only without a checkpoint

        assert (harness.job(job_id).state, harness.job(job_id).epoch) == (JobState.SUCCEEDED, 2)
        assert harness.stored(job_id) == ["e2/manifest.json", "e2/student.onnx"]

    def test_claims_nothing_any_more(self, harness: Harness) -> None:
        job_id = harness.submit()
        harness.stopping.set()

        harness.supervisor().run_next()

        assert (harness.job(job_id).state, harness.job(job_id).epoch) == (JobState.QUEUED, 0)

    def test_hands_the_job_back_when_somebody_else_stops_the_child(self, harness: Harness) -> None:
        job_id = harness.submit()

        with harness.running("waits"):
            os.kill(harness.child(job_id), signal.SIGTERM)

        assert harness.job(job_id).state == JobState.QUEUED
        assert harness.requeued == [job_id]


class TestTakenOver:
    @staticmethod
    def take_over(harness: Harness, job_id: str) -> None:
        with harness.store.write() as session:
            session.execute(update(Job).where(Job.id == job_id).values(state=JobState.QUEUED))
        with harness.store.write() as session:
            assert leases.claim_job(session, job_id, "wk_2") is not None

    def test_kills_the_child_and_leaves(self, harness: Harness) -> None:
        job_id = harness.submit()

        with harness.running("is stubborn"):
            pid = harness.child(job_id)
            self.take_over(harness, job_id)

        assert is_gone(pid)
        job = harness.job(job_id)
        assert (job.state, job.epoch, job.worker_id) == (JobState.RUNNING, 2, "wk_2")

    def test_finishing_too_late_writes_nothing_and_publishes_nothing(self, harness: Harness) -> None:
        # a heartbeat so slow that it is the last write that finds out
        slow = {"heartbeat_seconds": 100, "cancel_poll_seconds": 100, "fence_seconds": 200, "lease_seconds": 300}
        harness.settings = harness.settings.model_copy(update=slow)
        job_id = harness.submit()

        with harness.running("waits for the test"):
            harness.child(job_id)
            self.take_over(harness, job_id)
            (harness.out(job_id) / "go").touch()

        job = harness.job(job_id)
        assert (job.state, job.epoch, job.progress) == (JobState.RUNNING, 2, 0.0)
        assert harness.stored(job_id) == []

    def test_two_attempts_on_one_machine_do_not_share_a_folder(self, harness: Harness) -> None:
        slow = {"heartbeat_seconds": 100, "cancel_poll_seconds": 100, "fence_seconds": 200, "lease_seconds": 300}
        quick, harness.settings = harness.settings, harness.settings.model_copy(update=slow)
        job_id = harness.submit()

        with harness.running("waits for the test"):
            harness.child(job_id)
            with harness.store.write() as session:
                session.execute(update(Job).where(Job.id == job_id).values(state=JobState.QUEUED))
            harness.settings = quick
            harness.supervisor("succeeds").run_next()
            assert harness.job(job_id).state == JobState.SUCCEEDED
            (harness.out(job_id) / "go").touch()

        job = harness.job(job_id)
        assert (job.state, job.epoch) == (JobState.SUCCEEDED, 2)
        assert harness.stored(job_id) == ["e2/manifest.json", "e2/student.onnx"]


class TestStoreAway:
    def test_kills_the_child_when_no_heartbeat_gets_through(self, harness: Harness) -> None:
        fence = {"heartbeat_seconds": 0.05, "fence_seconds": 0.5}
        harness.settings = harness.settings.model_copy(update=fence)
        job_id = harness.submit()
        lock = "LOCK TABLE jobs IN EXCLUSIVE MODE" if harness.store.engine.dialect.name == "postgresql" else "SELECT 1"

        with harness.running("is stubborn"):
            pid = harness.child(job_id)
            with harness.store.write() as session:
                session.execute(text(lock))  # on SQLite the write transaction is the lock
                wait_for(lambda: is_gone(pid))

        assert harness.job(job_id).state == JobState.RUNNING  # for whoever sees that its counter stands still


class TestLimits:
    @pytest.mark.parametrize(
        ("limit", "code"),
        [({"child_memory_gb": 0.001}, "out_of_memory"), ({"job_hours": 1e-6}, "time_limit_exceeded")],
    )
    def test_ends_a_child_that_passes_one(self, harness: Harness, limit: dict[str, float], code: str) -> None:
        harness.settings = harness.settings.model_copy(update=limit)
        job_id = harness.submit()

        harness.supervisor("is stubborn").run_next()

        job = harness.job(job_id)
        assert job.error is not None
        assert (job.state, job.error["code"], job.epoch) == (JobState.FAILED, code, 1)
        assert job.error["hint"]
        assert list((harness.settings.scratch / "jobs").iterdir()) == []

    def test_leaves_alone_one_that_keeps_them(self, harness: Harness) -> None:
        harness.settings = harness.settings.model_copy(update={"child_memory_gb": 4.0, "job_hours": 1.0})
        job_id = harness.submit()

        with harness.running("waits for the test"):
            harness.child(job_id)
            before = harness.job(job_id).hb_seq
            wait_for(lambda: harness.job(job_id).hb_seq > before + 10)  # two seconds: two looks at the limits
            (harness.out(job_id) / "go").touch()

        assert harness.job(job_id).state == JobState.SUCCEEDED
