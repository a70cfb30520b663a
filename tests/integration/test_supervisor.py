"""One job from its claim to its end, with a real child process, a real store and real files.

Only the network is missing: `trainer.py` stands in the place of the training command.
"""

import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import Artifact, Dataset, Job, JobEvent, JobMetric
from app.domain.spec import JobSpec
from app.domain.states import DatasetState, JobState, Stage
from app.ingest import import_archive
from app.services import leases
from app.settings import Settings
from app.storage.blobs import Blobs
from worker.supervisor import Supervisor

TRAINER = Path(__file__).with_name("trainer.py")
QUICK: dict[str, Any] = {
    "heartbeat_seconds": 0.2,
    "cancel_poll_seconds": 0.05,
    "fence_seconds": 60,
    "lease_seconds": 90,
    "stop_grace_seconds": 60,
}


@dataclass
class Room:
    """A store, blobs with one data set, and what a supervisor needs."""

    settings: Settings
    store: Store
    blobs: Blobs
    dataset_id: str
    stopping: threading.Event = field(default_factory=threading.Event)
    requeued: list[str] = field(default_factory=list)

    def submit(self, priority: int = 0, students: tuple[str, ...] | None = None) -> str:
        student = "test_vit" if students is None else None
        spec = JobSpec(
            dataset_id=self.dataset_id, student=student, students=students, method="scratch", priority=priority
        )
        job_id = new_id("job")
        with self.store.write() as session:
            session.add(
                Job(id=job_id, dataset_id=self.dataset_id, spec=spec.model_dump(mode="json"), priority=priority)
            )
        return job_id

    def supervisor(self, behaviour: str = "succeeds") -> Supervisor:
        return Supervisor(
            self.settings,
            self.store,
            self.blobs,
            "wk_1",
            self.stopping,
            command=(sys.executable, str(TRAINER), behaviour),
            requeue=self.requeued.append,
        )

    @contextmanager
    def running(self, behaviour: str) -> Iterator[None]:
        """A supervisor at work in a thread; at the end of the block it has left."""
        thread = threading.Thread(target=self.supervisor(behaviour).run_next)
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def job(self, job_id: str) -> Job:
        with self.store.read() as session:
            return session.get_one(Job, job_id)

    def events(self, job_id: str) -> list[tuple[str, str]]:
        with self.store.read() as session:
            rows = session.scalars(select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.seq))
            return [(row.kind, row.code) for row in rows]

    def out(self, job_id: str) -> Path:
        return self.settings.scratch / "jobs" / job_id / "out"

    def child(self, job_id: str) -> int:
        """The process id of the child, once it waits."""
        wait_for((self.out(job_id) / "waiting").exists)
        return int((self.out(job_id) / "pid").read_text())

    def stored(self, job_id: str) -> list[str]:
        folder = self.settings.root / "blobs" / "jobs" / job_id
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared data set of eight small images."""
    import shutil

    from PIL import Image

    folder = tmp_path_factory.mktemp("images")
    for label in range(2):
        for i in range(4):
            path = folder / "archive" / str(label) / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (100 * label, 40 * i, 7)).save(path)
    archive = Path(shutil.make_archive(str(folder / "images"), "zip", folder / "archive"))
    assert import_archive(archive, folder / "out").report is not None
    return folder / "out" / "prepared.zip"


@pytest.fixture
def room(store: Store, store_url: str, settings: Settings, prepared: Path) -> Room:
    settings = settings.model_copy(update={**QUICK, "database_url": store_url})
    blobs, dataset_id = Blobs(settings.storage), new_id("ds")
    key = f"datasets/{dataset_id}/e1/prepared.zip"
    blobs.put_file(key, prepared)
    with store.write() as session:
        row = Dataset(id=dataset_id, name="eight.zip", bytes=1, sha256="0" * 64, state=DatasetState.READY)
        row.prepared_key = key
        session.add(row)
    return Room(settings, store, blobs, dataset_id)


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():  # pytest's own time limit ends it
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


class TestSuccess:
    def test_publishes_what_the_manifest_lists(self, room: Room) -> None:
        job_id = room.submit()

        room.supervisor().run_next()

        job = room.job(job_id)
        assert (job.state, job.progress, job.epoch) == (JobState.SUCCEEDED, 1.0, 1)
        assert job.evaluation == {"accuracy": 0.75}
        with room.store.read() as session:
            artifacts = {a.name: a for a in session.scalars(select(Artifact).where(Artifact.job_id == job_id))}
        assert set(artifacts) == {"student.onnx", "manifest.json"}
        for artifact in artifacts.values():
            with room.blobs.open(artifact.storage_key) as file:
                content = file.read()
            assert hashlib.sha256(content).hexdigest() == artifact.sha256
            assert len(content) == artifact.bytes
        assert room.stored(job_id) == ["e1/manifest.json", "e1/student.onnx"]

    def test_publishes_each_student_in_a_folder_of_its_name(self, room: Room) -> None:
        names = ("test_resnet", "test_vit")
        job_id = room.submit(students=names)

        room.supervisor().run_next()

        job = room.job(job_id)
        assert job.state == JobState.SUCCEEDED
        assert job.evaluation == {name: {"accuracy": 0.75} for name in names}
        files = [*(f"{name}/student.onnx" for name in names), "manifest.json"]
        with room.store.read() as session:
            assert set(session.scalars(select(Artifact.name).where(Artifact.job_id == job_id))) == set(files)
        assert room.stored(job_id) == sorted(f"e1/{file}" for file in files)

    def test_gives_the_child_the_data_and_the_training_part_of_the_spec(self, room: Room) -> None:
        job_id = room.submit()

        room.supervisor().run_next()

        with room.blobs.open(f"jobs/{job_id}/e1/manifest.json") as file:
            manifest = json.load(file)
        assert manifest["dataset"] == {"images": 8}
        assert manifest["spec"]["student"] == "test_vit"
        assert "dataset_id" not in manifest["spec"]

    def test_relays_what_the_child_says(self, room: Room) -> None:
        job_id = room.submit()

        room.supervisor().run_next()

        assert room.events(job_id) == [
            ("state", "claimed"),
            ("stage", "prepare"),
            ("warning", "batch_clamped"),
            ("stage", "reprogram"),
            ("stage", "distill"),
            ("stage", "export"),
            ("state", "succeeded"),
        ]
        assert room.job(job_id).metrics == {"loss": 0.5, "accuracy": 0.7, "test_accuracy": 0.75}
        with room.store.read() as session:
            pieces = list(session.scalars(select(JobMetric).where(JobMetric.job_id == job_id).order_by(JobMetric.seq)))
        points = [(piece.stage, point["step"], point["values"]["loss"]) for piece in pieces for point in piece.points]
        assert points == [(Stage.REPROGRAM, 10, 2.0), (Stage.DISTILL, 10, 1.0), (Stage.DISTILL, 20, 0.5)]

    def test_tells_the_store_while_the_child_still_runs(self, room: Room) -> None:
        job_id = room.submit()

        with room.running("waits for the test"):
            wait_for(lambda: room.job(job_id).stage == Stage.DISTILL)
            assert room.job(job_id).progress == 0.25
            before = room.job(job_id).hb_seq
            wait_for(lambda: room.job(job_id).hb_seq > before)
            (room.out(job_id) / "go").touch()

        assert room.job(job_id).state == JobState.SUCCEEDED

    def test_leaves_no_scratch_but_keeps_the_data_set_for_the_next_job(self, room: Room) -> None:
        room.submit()
        room.supervisor().run_next()
        assert list((room.settings.scratch / "jobs").iterdir()) == []

        room.blobs.delete_prefix("datasets")  # a second download would fail
        second = room.submit()
        room.supervisor().run_next()

        assert room.job(second).state == JobState.SUCCEEDED

    def test_runs_the_job_of_the_highest_priority(self, room: Room) -> None:
        low, high = room.submit(priority=0), room.submit(priority=5)

        room.supervisor().run_next()

        assert (room.job(high).state, room.job(low).state) == (JobState.SUCCEEDED, JobState.QUEUED)

    def test_does_nothing_where_nothing_is_queued(self, room: Room) -> None:
        job_id = room.submit()
        for _ in range(3):
            room.supervisor().run_next()

        assert room.job(job_id).epoch == 1


class TestFailure:
    def test_passes_on_what_the_training_room_says(self, room: Room) -> None:
        job_id = room.submit()

        room.supervisor("fails").run_next()

        job = room.job(job_id)
        assert job.state == JobState.FAILED
        assert job.error == {
            "code": "model_not_buildable",
            "title": "The network cannot be built as asked",
            "detail": "It cannot be built.",
            "hint": "Take another.",
        }
        assert room.events(job_id)[-1] == ("state", "model_not_buildable")

    @pytest.mark.parametrize(
        ("behaviour", "said"),
        [("crashes", "was ended by SIGSEGV"), ("says nothing", "ended with status 0")],
    )
    def test_says_how_a_silent_child_ended_and_nothing_it_wrote(self, room: Room, behaviour: str, said: str) -> None:
        job_id = room.submit()

        room.supervisor(behaviour).run_next()

        error = room.job(job_id).error
        assert error is not None
        assert error["code"] == "worker_lost"
        assert said in error["detail"]
        assert "secret" not in json.dumps(error)

    def test_publishes_nothing_that_its_manifest_does_not_describe(self, room: Room) -> None:
        job_id = room.submit()

        room.supervisor("lies").run_next()

        job = room.job(job_id)
        assert (job.state, job.error and job.error["code"]) == (JobState.FAILED, "training_failed")
        assert room.stored(job_id) == []

    def test_leaves_no_scratch(self, room: Room) -> None:
        room.submit()
        room.supervisor("fails").run_next()

        assert list((room.settings.scratch / "jobs").iterdir()) == []

    def test_a_data_set_whose_bytes_are_gone_fails_the_job(self, room: Room) -> None:
        room.blobs.delete_prefix("datasets")
        job_id = room.submit()

        room.supervisor().run_next()

        job = room.job(job_id)
        assert (job.state, job.error and job.error["code"]) == (JobState.FAILED, "store_unavailable")


class TestCancel:
    @pytest.mark.parametrize("behaviour", ["waits", "is stubborn"])
    def test_kills_the_child(self, room: Room, behaviour: str) -> None:
        job_id = room.submit()

        with room.running(behaviour):
            pid = room.child(job_id)
            with room.store.write() as session:
                session.execute(update(Job).where(Job.id == job_id).values(cancel_requested=True))

        assert room.job(job_id).state == JobState.CANCELLED
        assert is_gone(pid)
        assert list((room.settings.scratch / "jobs").iterdir()) == []


class TestStopping:
    def test_hands_the_job_back_and_the_next_attempt_goes_on_from_the_checkpoint(self, room: Room) -> None:
        job_id = room.submit()

        with room.running("waits"):
            pid = room.child(job_id)
            room.stopping.set()

        assert room.job(job_id).state == JobState.QUEUED
        assert room.requeued == [job_id]
        assert is_gone(pid)
        assert (room.out(job_id) / "checkpoint").read_text() == "half way"

        room.stopping.clear()
        room.supervisor("waits").run_next()  # waits only without a checkpoint

        assert (room.job(job_id).state, room.job(job_id).epoch) == (JobState.SUCCEEDED, 2)
        assert room.stored(job_id) == ["e2/manifest.json", "e2/student.onnx"]

    def test_claims_nothing_any_more(self, room: Room) -> None:
        job_id = room.submit()
        room.stopping.set()

        room.supervisor().run_next()

        assert (room.job(job_id).state, room.job(job_id).epoch) == (JobState.QUEUED, 0)

    def test_hands_the_job_back_when_somebody_else_stops_the_child(self, room: Room) -> None:
        job_id = room.submit()

        with room.running("waits"):
            os.kill(room.child(job_id), signal.SIGTERM)

        assert room.job(job_id).state == JobState.QUEUED
        assert room.requeued == [job_id]


class TestTakenOver:
    @staticmethod
    def take_over(room: Room, job_id: str) -> None:
        with room.store.write() as session:
            session.execute(update(Job).where(Job.id == job_id).values(state=JobState.QUEUED))
        with room.store.write() as session:
            assert leases.claim_job(session, job_id, "wk_2") is not None

    def test_kills_the_child_and_leaves(self, room: Room) -> None:
        job_id = room.submit()

        with room.running("is stubborn"):
            pid = room.child(job_id)
            self.take_over(room, job_id)

        assert is_gone(pid)
        job = room.job(job_id)
        assert (job.state, job.epoch, job.worker_id) == (JobState.RUNNING, 2, "wk_2")

    def test_finishing_too_late_writes_nothing_and_publishes_nothing(self, room: Room) -> None:
        # a heartbeat so slow that it is the last write that finds out
        slow = {"heartbeat_seconds": 100, "cancel_poll_seconds": 100, "fence_seconds": 200, "lease_seconds": 300}
        room.settings = room.settings.model_copy(update=slow)
        job_id = room.submit()

        with room.running("waits for the test"):
            room.child(job_id)
            self.take_over(room, job_id)
            (room.out(job_id) / "go").touch()

        job = room.job(job_id)
        assert (job.state, job.epoch, job.progress) == (JobState.RUNNING, 2, 0.0)
        assert room.stored(job_id) == []

    def test_two_attempts_on_one_machine_do_not_share_a_folder(self, room: Room) -> None:
        slow = {"heartbeat_seconds": 100, "cancel_poll_seconds": 100, "fence_seconds": 200, "lease_seconds": 300}
        quick, room.settings = room.settings, room.settings.model_copy(update=slow)
        job_id = room.submit()

        with room.running("waits for the test"):
            room.child(job_id)
            with room.store.write() as session:
                session.execute(update(Job).where(Job.id == job_id).values(state=JobState.QUEUED))
            room.settings = quick
            room.supervisor("succeeds").run_next()
            assert room.job(job_id).state == JobState.SUCCEEDED
            (room.out(job_id) / "go").touch()

        job = room.job(job_id)
        assert (job.state, job.epoch) == (JobState.SUCCEEDED, 2)
        assert room.stored(job_id) == ["e2/manifest.json", "e2/student.onnx"]


class TestStoreAway:
    def test_kills_the_child_when_no_heartbeat_gets_through(self, room: Room) -> None:
        fence = {"heartbeat_seconds": 0.05, "fence_seconds": 0.5}
        room.settings = room.settings.model_copy(update=fence)
        job_id = room.submit()
        lock = "LOCK TABLE jobs IN EXCLUSIVE MODE" if room.store.engine.dialect.name == "postgresql" else "SELECT 1"

        with room.running("is stubborn"):
            pid = room.child(job_id)
            with room.store.write() as session:
                session.execute(text(lock))  # on SQLite the write transaction is the lock
                wait_for(lambda: is_gone(pid))

        assert room.job(job_id).state == JobState.RUNNING  # for whoever sees that its counter stands still
