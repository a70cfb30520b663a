"""What a supervisor needs, for tests of one job from its claim to its end: real store, real files, real child process.

Only the network is missing: `trainer.py` stands in the place of the training command.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import Job, JobEvent, JobMetric
from app.domain.spec import JobSpec
from app.domain.states import Stage, StopRequest
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
class Harness:
    """A store, blobs with one data set, and what a supervisor needs."""

    settings: Settings
    store: Store
    blobs: Blobs
    dataset_id: str
    stopping: threading.Event = field(default_factory=threading.Event)
    requeued: list[str] = field(default_factory=list)

    def submit(self, priority: int = 0, students: tuple[str, ...] | None = None, **config: Any) -> str:
        student = "test_vit" if students is None else None
        spec = JobSpec(
            dataset_id=self.dataset_id,
            student=student,
            students=students,
            method="scratch",
            priority=priority,
            **config,
        )
        job_id = new_id("job")
        with self.store.write() as session:
            session.add(
                Job(id=job_id, dataset_id=self.dataset_id, spec=spec.model_dump(mode="json"), priority=priority)
            )
        return job_id

    def supervisor(self, behaviour: str = "succeeds", command: Sequence[str] = ()) -> Supervisor:
        return Supervisor(
            self.settings,
            self.store,
            self.blobs,
            "wk_1",
            self.stopping,
            command=command or (sys.executable, str(TRAINER), behaviour),
            requeue=self.requeued.append,
        )

    @contextmanager
    def running(self, behaviour: str = "succeeds", command: Sequence[str] = ()) -> Iterator[None]:
        """A supervisor at work in a thread; at the end of the block it has left."""
        thread = threading.Thread(target=self.supervisor(behaviour, command).run_next)
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def elsewhere(self) -> "Harness":
        """Another host: the same store and storage, a scratch folder of its own."""
        here = self.settings
        other = {"home": here.home / "elsewhere", "storage_url": here.storage}
        settings = Settings.model_validate(here.model_dump() | other)
        return replace(self, settings=settings, stopping=threading.Event())

    def ask(self, job_id: str, request: StopRequest) -> None:
        """What a user asks of a running job's worker."""
        with self.store.write() as session:
            session.execute(update(Job).where(Job.id == job_id).values(stop_requested=request))

    def job(self, job_id: str) -> Job:
        with self.store.read() as session:
            return session.get_one(Job, job_id)

    def steps(self, job_id: str, epoch: int) -> list[int]:
        """The steps of stage 2 that an attempt took, as its curve tells."""
        of_attempt = (JobMetric.job_id == job_id, JobMetric.epoch == epoch, JobMetric.stage == Stage.DISTILL)
        with self.store.read() as session:
            pieces = session.scalars(select(JobMetric).where(*of_attempt).order_by(JobMetric.seq))
            return [point["step"] for piece in pieces for point in piece.points if "loss" in point["values"]]

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


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():  # pytest's own time limit ends it
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
