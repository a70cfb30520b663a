"""The whole service as processes that a test starts and kills one by one: an API, and workers."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
from servers import living
from sqlalchemy import select
from worker_main import CATALOG

from app.cli.common import read_url
from app.db.engine import Store
from app.db.ids import new_id
from app.db.migrate import upgrade
from app.db.models import Dataset, Job, JobEvent
from app.domain.states import TERMINAL_JOB_STATES, DatasetState
from app.queue import TRAINING_QUEUE, make_celery
from app.services import catalog
from app.settings import Settings
from app.storage.blobs import Blobs
from worker import child

STAND_IN = (sys.executable, str(Path(__file__).with_name("worker_main.py")))
REAL = (sys.executable, "-m", "app.cli", "worker", "--queue=training", "--device=cpu")
WAIT_SECONDS = 240.0

TOY: dict[str, Any] = {
    "method": "tdmr",
    "teacher": "resnet10t.glyphs62",
    "student": "test_resnet",
    "image_size": 32,
    "views": {"count": 2, "mode": "cached"},
    "reprogram": {"steps": 30},
    "distill": {"image_steps": 320, "batch_size": 16},
    "export": {"formats": ["torchscript"], "measure": False},
}
"""A job for `REAL`."""
ENDLESS = TOY | {"distill": {"image_steps": 2_000_000, "batch_size": 16}}
MARK = "FAULT_STACK"
"""In the environment of every process of one stack, children's children included: `FAULT_…` is passed on to them."""

# Short, so that a test need not wait a minute for a lease to end, and long enough for a busy machine.
QUICK = {
    "TDMR_HEARTBEAT_SECONDS": "0.5",
    "TDMR_FENCE_SECONDS": "6",
    "TDMR_LEASE_SECONDS": "8",
    "TDMR_RECONCILE_SECONDS": "0.5",
    "TDMR_CANCEL_POLL_SECONDS": "0.2",
    "TDMR_STOP_GRACE_SECONDS": "30",
    "TDMR_HUB": "false",
    # no timing decides how a network computes
    "TDMR_PRECISION": "float32",
}


class Process:
    """One process of the service."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name, self.log = name, log
        launcher = [sys.executable, child.__file__, str(os.getpid())]  # it dies with us
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                [*launcher, *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def lives(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.wait()

    def terminate(self) -> int:
        """SIGTERM; gives the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        return self._process.wait(WAIT_SECONDS)

    def has_failed(self) -> bool:
        """Whether it gave up by itself; a signal is the test's doing."""
        return (self._process.poll() or 0) > 0

    def children(self) -> list[int]:
        """Process ids."""
        return [process.pid for process in psutil.Process(self.pid).children()]

    def said(self) -> list[str]:
        """The messages of its log."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [json.loads(line)["message"] for line in lines]


class Stack:
    """One service. Every job that the API has acknowledged is remembered, for the checker."""

    def __init__(self, folder: Path, urls: Mapping[str, str], *, one_home: bool) -> None:
        """
        Args:
            urls: TDMR_…_URL for what is not in the home.
            one_home: every process shares it, as on one machine; otherwise each worker's host has its own.
        """
        self.folder, self.id = folder, uuid.uuid4().hex
        self.one_home = one_home
        self.control = folder / "control"
        self.control.mkdir(parents=True)
        self.environment = {**os.environ, **QUICK, **urls, MARK: self.id}
        self.home = folder / "home"
        self.settings = Settings(
            home=self.home, **{key.removeprefix("TDMR_").lower(): url for key, url in urls.items()}
        )
        upgrade(self.settings.database)
        self.store, self.blobs = Store(self.settings.database), Blobs(self.settings.storage)
        self.celery = make_celery(self.settings)
        with self.store.write() as session:  # a worker has been here before
            catalog.register(session, "earlier", TRAINING_QUEUE, "cpu", CATALOG)
        self.processes: list[Process] = []
        self.acknowledged: list[str] = []

    # Processes

    def start_api(self, **changes: str) -> Process:
        """`changes` of its environment. Waits until it listens."""
        (self.home / "service.json").unlink(missing_ok=True)
        process = self._start("api", [sys.executable, "-m", "app.cli", "api", "--port=0"], self.home, changes)
        wait_for(lambda: read_url(self.settings) is not None or not process.lives())
        return process

    def start_worker(self, host: str = "a", command: Sequence[str] = (), **changes: str) -> Process:
        """A training worker with a child of the test's own, or with `command`. Does not wait."""
        home = self.home if self.one_home else self.folder / f"host-{host}"
        return self._start(f"worker-{host}", command or [*STAND_IN, str(self.control)], home, changes)

    def suspend(self, process: Process) -> None:
        """SIGSTOP; on SQLite not inside of a write, where it would stop everybody (docs/faults.md)."""
        process.signal(signal.SIGSTOP)
        if self.store.engine.dialect.name == "sqlite":
            while self._is_locked():
                process.signal(signal.SIGCONT)
                time.sleep(0.01)
                process.signal(signal.SIGSTOP)

    def close(self) -> None:
        """Nothing of it runs afterwards."""
        for process in self.running():
            process.kill()
        living(self.strays(), psutil.Process.kill)
        self.celery.close()
        self.store.close()

    def running(self) -> list[Process]:
        return [process for process in self.processes if process.lives()]

    def strays(self) -> list[psutil.Process]:
        """Processes of this stack that are none of those we started."""
        known = {process.pid for process in self.running()}
        return [process for process in psutil.process_iter() if process.pid not in known and self._owns(process)]

    def homes(self) -> list[Path]:
        return [path for path in (self.home, *self.folder.glob("host-*")) if path.is_dir()]

    def logs(self) -> str:
        """The ends of all logs, to be shown when a test fails."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}" for log in logs)

    # What a client does

    def request(self, method: str, path: str, *, timeout: float = WAIT_SECONDS, **options: Any) -> httpx.Response:
        url = read_url(self.settings)
        assert url is not None, "the API does not listen"
        return httpx.request(method, url + path, timeout=timeout, **options)

    def submit(self, *, key: str | None = None, **spec: Any) -> str:
        """POST /v1/jobs; the id of the acknowledged job."""
        answer = self.post_job(key=key, **spec)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def post_job(self, *, key: str | None = None, timeout: float = WAIT_SECONDS, **spec: Any) -> httpx.Response:
        body = {"student": "test_vit", "method": "scratch", **spec}
        headers = {"Idempotency-Key": key} if key is not None else {}
        answer = self.request("POST", "/v1/jobs", json=body, headers=headers, timeout=timeout)
        if answer.status_code == 202:
            self.acknowledged.append(answer.json()["id"])
        return answer

    # What the test knows of the inside

    def add_dataset(self, prepared: Path) -> str:
        """A data set that is ready; gives its id."""
        dataset_id = new_id("ds")
        key = f"datasets/{dataset_id}/e1/prepared.zip"
        self.blobs.put_file(key, prepared)
        with self.store.write() as session:
            row = Dataset(id=dataset_id, name="a.zip", bytes=1, sha256="0" * 64, state=DatasetState.READY)
            row.prepared_key, row.epoch = key, 1
            session.add(row)
        return dataset_id

    def job(self, job_id: str) -> Job:
        with self.store.read() as session:
            return session.get_one(Job, job_id)

    def job_ids(self) -> list[str]:
        with self.store.read() as session:
            return list(session.scalars(select(Job.id).order_by(Job.id)))

    def events(self, job_id: str) -> list[JobEvent]:
        with self.store.read() as session:
            return list(session.scalars(select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.seq)))

    def codes(self, job_id: str) -> list[str]:
        return [event.code for event in self.events(job_id)]

    def wait_for_end(self, *job_ids: str) -> None:
        self._wait_for(lambda: all(self.job(job_id).state in TERMINAL_JOB_STATES for job_id in job_ids))

    def hold(self, *epochs: int) -> None:
        """Children of these attempts wait half way."""
        (self.control / "hold").write_text(" ".join(map(str, epochs)))

    def let_go(self) -> None:
        (self.control / "hold").unlink()

    def child(self, job_id: str, epoch: int = 1) -> int:
        """The process id of the attempt's child, once it is half way."""
        found: list[Path] = []

        def half_way() -> bool:
            found[:] = [
                marker.parent
                for home in self.homes()
                for marker in (home / "scratch" / "jobs").glob(f"{job_id}*/out/half way")
                if (marker.parents[1] / "attempt").read_text() == str(epoch)
            ]
            return bool(found)

        self._wait_for(half_way)
        return int((found[0] / "pid").read_text())

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        """As `wait_for`, but not for what a process that has failed would have done."""

        def fulfilled() -> bool:
            if condition():
                return True
            failed = [process.name for process in self.processes if process.has_failed()]
            assert not failed, f"{', '.join(failed)} has failed; its log says why"
            return False

        wait_for(fulfilled)

    def _start(self, name: str, command: Sequence[str], home: Path, changes: Mapping[str, str]) -> Process:
        number = sum(process.name == name for process in self.processes) + 1
        environment = {**self.environment, "TDMR_HOME": str(home), **changes}
        process = Process(name, command, environment, self.folder / f"{name}-{number}.log")
        self.processes.append(process)
        return process

    def _is_locked(self) -> bool:
        database = sqlite3.connect(self.home / "tdmr.db", timeout=0.5, isolation_level=None)
        with closing(database):
            try:
                database.execute("BEGIN IMMEDIATE")
                database.execute("ROLLBACK")
            except sqlite3.OperationalError:
                return True
            return False

    def _owns(self, process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self.id
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


def wait_for(condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited for too long"
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
