"""What every worker does beside its work, with a real store and a real broker on the file system."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery

from app.db.engine import Store
from app.db.ids import new_id
from app.db.migrate import upgrade
from app.db.models import Dataset, Job, utcnow
from app.domain.states import DatasetState, JobState
from app.queue import DATASETS_QUEUE, TRAIN_TASK, TRAINING_QUEUE, make_celery, send, waiting_messages
from app.settings import Settings
from app.storage.blobs import Blobs
from worker.caretaker import Caretaker


class Room:
    """A store, blobs, a broker, and a caretaker that never waits."""

    def __init__(self, settings: Settings) -> None:
        upgrade(settings.database)
        self.settings = settings.model_copy(
            update={"heartbeat_seconds": 0.001, "fence_seconds": 0.002, "lease_seconds": 0.003}
        )
        self.store, self.blobs = Store(settings.database), Blobs(settings.storage)
        self.celery: Celery = make_celery(settings)
        self.stopping = threading.Event()
        self.caretaker = Caretaker(self.settings, self.store, self.blobs, self.celery, self.stopping)

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
        self.caretaker.reap()
        threading.Event().wait(0.05)
        self.caretaker.reap()


@pytest.fixture
def room(settings: Settings) -> Room:
    return Room(settings)


class TestReap:
    def test_gives_back_a_job_whose_counter_stands_still(self, room: Room) -> None:
        job_id = room.job(JobState.RUNNING, epoch=1, attempts=1, worker_id="wk_1")

        room.look_twice()

        job = room.read(job_id)
        assert (job.state, job.worker_id, job.epoch) == ("queued", None, 1)

    def test_leaves_one_that_moves(self, room: Room) -> None:
        job_id = room.job(JobState.RUNNING, epoch=1, worker_id="wk_1")
        room.caretaker.reap()
        for beat in range(1, 4):
            threading.Event().wait(0.01)
            with room.store.write() as session:
                session.get_one(Job, job_id).hb_seq = beat
            room.caretaker.reap()

        assert room.read(job_id).state == "running"

    def test_fails_a_job_that_is_lost_for_the_third_time_without_progress(self, room: Room) -> None:
        job_id = room.job(JobState.RUNNING, epoch=5, attempts=3, worker_id="wk_1")

        room.look_twice()

        job = room.read(job_id)
        assert (job.state, job.error and job.error["code"]) == ("failed", "worker_lost_repeatedly")

    @pytest.mark.parametrize(("request_", "state"), [("cancel", "cancelled"), ("pause", "paused")])
    def test_does_what_the_lost_worker_was_asked_for(self, room: Room, request_: str, state: str) -> None:
        job_id = room.job(JobState.RUNNING, epoch=5, attempts=3, worker_id="wk_1", stop_requested=request_)

        room.look_twice()

        assert room.read(job_id).state == state

    def test_deletes_what_the_lost_attempt_has_stored_but_no_copy_that_a_job_goes_on_from(self, room: Room) -> None:
        noted = room.job(JobState.RUNNING, epoch=2, worker_id="wk_1")
        copy = f"jobs/{noted}/checkpoints/e2.tar"
        with room.store.write() as session:
            session.get_one(Job, noted).checkpoint_key = copy
        unnoted = room.job(JobState.RUNNING, epoch=1, worker_id="wk_1")
        left = [
            f"jobs/{noted}/e2/student.onnx",
            f"jobs/{unnoted}/e1/manifest.json",
            f"jobs/{unnoted}/checkpoints/e1.tar",
        ]
        for key in (copy, *left):
            room.put(key)

        room.look_twice()

        assert [key for key in (copy, *left) if room.blobs.exists(key)] == [copy]

    @pytest.mark.parametrize(("epoch", "state", "kept"), [(1, "validating", True), (3, "rejected", False)])
    def test_gives_back_an_import_until_it_was_fatal_three_times(
        self, room: Room, epoch: int, state: str, kept: bool
    ) -> None:
        dataset_id = room.dataset(DatasetState.VALIDATING, epoch=epoch, worker_id="wk_1", upload_key="uploads/x")
        room.put("uploads/x")

        room.look_twice()

        with room.store.read() as session:
            dataset = session.get_one(Dataset, dataset_id)
        assert (dataset.state, dataset.worker_id) == (state, None)
        assert room.blobs.exists("uploads/x") == kept


class TestSweep:
    def test_sends_as_many_messages_as_there_are_waiting_objects(self, room: Room) -> None:
        first = room.job(JobState.QUEUED)
        for state in (JobState.QUEUED, JobState.RUNNING, JobState.FAILED):
            room.job(state)
        room.dataset(DatasetState.VALIDATING)
        room.dataset(DatasetState.VALIDATING, worker_id="wk_1")
        send(room.celery, TRAIN_TASK, first)

        for _ in range(3):
            room.caretaker.sweep()

        assert waiting_messages(room.celery, TRAINING_QUEUE) == 2
        assert waiting_messages(room.celery, DATASETS_QUEUE) == 1


class TestTidy:
    def test_forgets_the_checkpoints_of_jobs_that_need_none(self, room: Room) -> None:
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
            job_id = room.job(state, finished_at=finished, checkpoint_key="jobs/x/checkpoints/e1.tar")
            with room.store.write() as session:
                session.get_one(Job, job_id).checkpoint_key = f"jobs/{job_id}/checkpoints/e1.tar"
            room.put(f"jobs/{job_id}/checkpoints/e1.tar")
            jobs[name] = job_id

        room.caretaker.tidy()

        kept = {name for name, job_id in jobs.items() if room.blobs.exists(f"jobs/{job_id}/checkpoints/e1.tar")}
        assert kept == {"failed now", "paused"}
        assert {name for name, job_id in jobs.items() if room.read(job_id).checkpoint_key} == kept

    def test_removes_what_is_left_of_ended_and_of_unknown_jobs_and_of_dead_imports(self, room: Room) -> None:
        queued, failed = room.job(JobState.QUEUED), room.job(JobState.FAILED)
        scratch = room.settings.scratch
        for name in (queued, failed, f"{failed}-e2", new_id("job")):
            (scratch / "jobs" / name).mkdir(parents=True)
        (scratch / "imports" / "ds_1-e1").mkdir(parents=True)

        room.caretaker.tidy()

        assert [path.name for path in (scratch / "jobs").iterdir()] == [queued]
        assert list((scratch / "imports").iterdir()) == []


class TestLook:
    def test_one_part_that_fails_holds_up_no_other(self, room: Room, tmp_path: Path) -> None:
        job_id = room.job(JobState.CANCELLED, finished_at=utcnow(), checkpoint_key="jobs/x/checkpoints/e1.tar")
        room.job(JobState.QUEUED)
        away = make_celery(room.settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"}))
        room.put("jobs/x/checkpoints/e1.tar")

        Caretaker(room.settings, room.store, room.blobs, away, room.stopping).look()

        assert room.read(job_id).checkpoint_key is None
