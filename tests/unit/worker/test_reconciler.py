"""What every worker does beside its work, with a real store and a real broker on the file system."""

import logging
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import Dataset, Job, utcnow
from app.domain.states import DatasetState, JobState
from app.queue import DATASETS_QUEUE, TRAIN_TASK, TRAINING_QUEUE, make_celery, send, waiting_messages
from app.settings import Settings
from app.storage.blobs import Blobs
from tests.databases import migrate
from worker.reconciler import Reconciler


class Harness:
    """A store, blobs, a broker, and a reconciler that never waits."""

    def __init__(self, settings: Settings) -> None:
        migrate(settings.database)
        self.settings = settings.model_copy(
            update={"heartbeat_seconds": 0.001, "fence_seconds": 0.002, "lease_seconds": 0.003}
        )
        self.store, self.blobs = Store(settings.database), Blobs(settings.storage)
        self.celery: Celery = make_celery(settings)
        self.stopping = threading.Event()
        self.reconciler = Reconciler(self.settings, self.store, self.blobs, self.celery, self.stopping)

    def dataset(self, state: DatasetState, **changes: object) -> str:
        dataset_id = new_id("ds")
        with self.store.write() as session:
            session.add(Dataset(id=dataset_id, name="a", bytes=1, sha256="0" * 64, state=state, **changes))
        return dataset_id

    def job(self, state: JobState, **changes: object) -> str:
        job_id, dataset_id = new_id("job"), self.dataset(DatasetState.READY)
        with self.store.write() as session:
            session.add(Job(id=job_id, dataset_id=dataset_id, spec={}, state=state, **changes))
        return job_id

    def read(self, job_id: str) -> Job:
        with self.store.read() as session:
            return session.get_one(Job, job_id)

    def put(self, key: str) -> None:
        source = self.settings.root / "source"
        source.write_bytes(b"bytes")
        self.blobs.put_file(key, source)
        source.unlink()

    def look_twice(self) -> None:
        """The first look only learns where the counters stand."""
        self.reconciler.reclaim_lost()
        threading.Event().wait(0.05)
        self.reconciler.reclaim_lost()


@pytest.fixture
def harness(settings: Settings) -> Harness:
    return Harness(settings)


class TestReap:
    def test_gives_back_a_job_whose_counter_stands_still(self, harness: Harness) -> None:
        job_id = harness.job(JobState.RUNNING, epoch=1, attempts=1, worker_id="wk_1")

        harness.look_twice()

        job = harness.read(job_id)
        assert (job.state, job.worker_id, job.epoch) == ("queued", None, 1)

    def test_leaves_one_that_moves(self, harness: Harness) -> None:
        job_id = harness.job(JobState.RUNNING, epoch=1, worker_id="wk_1")
        harness.reconciler.reclaim_lost()
        for beat in range(1, 4):
            threading.Event().wait(0.01)
            with harness.store.write() as session:
                session.get_one(Job, job_id).hb_seq = beat
            harness.reconciler.reclaim_lost()

        assert harness.read(job_id).state == "running"

    def test_fails_a_job_that_is_lost_for_the_third_time_without_progress(self, harness: Harness) -> None:
        job_id = harness.job(JobState.RUNNING, epoch=5, attempts=3, worker_id="wk_1")

        harness.look_twice()

        job = harness.read(job_id)
        assert (job.state, job.error and job.error["code"]) == ("failed", "worker_lost_repeatedly")

    @pytest.mark.parametrize(("request_", "state"), [("cancel", "cancelled"), ("pause", "paused")])
    def test_does_what_the_lost_worker_was_asked_for(self, harness: Harness, request_: str, state: str) -> None:
        job_id = harness.job(JobState.RUNNING, epoch=5, attempts=3, worker_id="wk_1", stop_requested=request_)

        harness.look_twice()

        assert harness.read(job_id).state == state

    def test_deletes_what_the_lost_attempt_has_stored_but_no_copy_that_a_job_goes_on_from(
        self, harness: Harness
    ) -> None:
        noted = harness.job(JobState.RUNNING, epoch=2, worker_id="wk_1")
        copy = f"jobs/{noted}/checkpoints/e2.tar"
        with harness.store.write() as session:
            session.get_one(Job, noted).checkpoint_key = copy
        unnoted = harness.job(JobState.RUNNING, epoch=1, worker_id="wk_1")
        left = [
            f"jobs/{noted}/e2/student.onnx",
            f"jobs/{unnoted}/e1/manifest.json",
            f"jobs/{unnoted}/checkpoints/e1.tar",
        ]
        for key in (copy, *left):
            harness.put(key)

        harness.look_twice()

        assert [key for key in (copy, *left) if harness.blobs.exists(key)] == [copy]

    @pytest.mark.parametrize(("epoch", "state", "kept"), [(1, "validating", True), (3, "rejected", False)])
    def test_gives_back_an_import_until_it_was_fatal_three_times(
        self, harness: Harness, epoch: int, state: str, kept: bool
    ) -> None:
        dataset_id = harness.dataset(DatasetState.VALIDATING, epoch=epoch, worker_id="wk_1", upload_key="uploads/x")
        harness.put("uploads/x")

        harness.look_twice()

        with harness.store.read() as session:
            dataset = session.get_one(Dataset, dataset_id)
        assert (dataset.state, dataset.worker_id) == (state, None)
        assert harness.blobs.exists("uploads/x") == kept


class TestSweep:
    def test_sends_as_many_messages_as_there_are_waiting_objects(self, harness: Harness) -> None:
        first = harness.job(JobState.QUEUED)
        for state in (JobState.QUEUED, JobState.RUNNING, JobState.FAILED):
            harness.job(state)
        harness.dataset(DatasetState.VALIDATING, upload_key="uploads/x")
        harness.dataset(DatasetState.VALIDATING, upload_key="uploads/y", worker_id="wk_1")
        send(harness.celery, TRAIN_TASK, first)

        for _ in range(3):
            harness.reconciler.resend_lost()

        assert waiting_messages(harness.celery, TRAINING_QUEUE) == 2
        assert waiting_messages(harness.celery, DATASETS_QUEUE) == 1

    def test_sends_none_for_downloads_that_wait_for_another_of_their_tenant(self, harness: Harness) -> None:
        for tenant, worker_id in (("a", "wk_1"), ("a", None), ("a", None), ("b", None), ("b", None)):
            harness.dataset(
                DatasetState.VALIDATING, tenant=tenant, worker_id=worker_id, source_url="https://a.example/a.zip"
            )
        harness.reconciler.resend_lost()
        assert waiting_messages(harness.celery, DATASETS_QUEUE) == 1


class TestUnanswered:
    @pytest.mark.parametrize(("hours", "state", "kept"), [(100, "needs_answer", True), (200, "rejected", False)])
    def test_a_question_expires_with_its_archive(self, harness: Harness, hours: int, state: str, kept: bool) -> None:
        asked = utcnow() - timedelta(hours=hours)
        dataset_id = harness.dataset(DatasetState.NEEDS_ANSWER, epoch=1, upload_key="uploads/x", updated_at=asked)
        harness.put("uploads/x")

        harness.reconciler.delete_leftovers()

        with harness.store.read() as session:
            dataset = session.get_one(Dataset, dataset_id)
        assert (dataset.state, harness.blobs.exists("uploads/x")) == (state, kept)
        if not kept:
            assert (dataset.error or {})["code"] == "dataset_rejected"

    def test_attempts_before_an_answer_were_not_lost(self, harness: Harness) -> None:
        dataset_id = harness.dataset(DatasetState.VALIDATING, epoch=3, answered_epoch=2, worker_id="wk_1")

        harness.look_twice()

        with harness.store.read() as session:
            assert session.get_one(Dataset, dataset_id).state == DatasetState.VALIDATING


class TestTidy:
    def test_forgets_the_checkpoints_of_jobs_that_need_none(self, harness: Harness) -> None:
        now = utcnow()
        ages = {
            "succeeded": (JobState.SUCCEEDED, now),
            "cancelled": (JobState.CANCELLED, now),
            "failed long ago": (JobState.FAILED, now - timedelta(days=8)),
            "failed now": (JobState.FAILED, now),
            "paused": (JobState.PAUSED, None),
        }
        jobs = {}
        for name, (state, finished) in ages.items():
            job_id = harness.job(state, finished_at=finished, checkpoint_key="jobs/x/checkpoints/e1.tar")
            with harness.store.write() as session:
                session.get_one(Job, job_id).checkpoint_key = f"jobs/{job_id}/checkpoints/e1.tar"
            harness.put(f"jobs/{job_id}/checkpoints/e1.tar")
            jobs[name] = job_id

        harness.reconciler.delete_leftovers()

        kept = {name for name, job_id in jobs.items() if harness.blobs.exists(f"jobs/{job_id}/checkpoints/e1.tar")}
        assert kept == {"failed now", "paused"}
        assert {name for name, job_id in jobs.items() if harness.read(job_id).checkpoint_key} == kept

    def test_removes_what_is_left_of_ended_and_of_unknown_jobs_and_of_dead_imports(self, harness: Harness) -> None:
        queued, failed = harness.job(JobState.QUEUED), harness.job(JobState.FAILED)
        scratch = harness.settings.scratch
        for name in (queued, failed, f"{failed}-e2", new_id("job")):
            (scratch / "jobs" / name).mkdir(parents=True)
        (scratch / "imports" / "ds_1-e1").mkdir(parents=True)

        harness.reconciler.delete_leftovers()

        assert [path.name for path in (scratch / "jobs").iterdir()] == [queued]
        assert list((scratch / "imports").iterdir()) == []


class TestReconcile:
    def test_one_part_that_fails_holds_up_no_other(self, harness: Harness, tmp_path: Path) -> None:
        job_id = harness.job(JobState.CANCELLED, finished_at=utcnow(), checkpoint_key="jobs/x/checkpoints/e1.tar")
        harness.job(JobState.QUEUED)
        away = make_celery(harness.settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"}))
        harness.put("jobs/x/checkpoints/e1.tar")

        Reconciler(harness.settings, harness.store, harness.blobs, away, harness.stopping).reconcile()

        assert harness.read(job_id).checkpoint_key is None

    def test_an_outage_is_told_once_when_it_begins_and_once_when_it_ends(
        self, harness: Harness, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "worker")
        harness.job(JobState.QUEUED)
        away = make_celery(harness.settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"}))
        reconciler = Reconciler(harness.settings, harness.store, harness.blobs, away, harness.stopping)

        for _ in range(3):
            reconciler.reconcile()
        reconciler._celery = harness.celery
        for _ in range(3):
            reconciler.reconcile()

        said = [(record.levelname, record.message.partition(",")[0], record.exc_info) for record in caplog.records]
        assert said == [("WARNING", "The broker is away", None), ("INFO", said[1][1], None)]
        assert said[1][1].startswith("The broker is back")

    def test_an_error_of_its_own_is_told_once(self, harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
        harness.job(JobState.CANCELLED, finished_at=utcnow(), checkpoint_key="jobs/../x")

        for _ in range(3):
            harness.reconciler.reconcile()

        (told,) = caplog.records
        assert told.message == "The reconciler cannot delete leftovers"
        assert told.exc_info
