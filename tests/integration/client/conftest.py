"""The client against the service behind a real socket. What workers would do, the tests do with the store."""

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from sqlalchemy import select

from app.db.models import Dataset, Job
from app.domain.dataset import DatasetReport, Split, Understanding
from app.domain.manifest import ArtifactFile
from app.domain.states import DatasetState, JobState
from app.main import create_app
from app.server.config import configure
from app.services.dataset_leases import accept_dataset, ask_about_dataset, claim_dataset, reject_dataset
from app.services.leases import claim_job, finish_job
from tdmr import Tdmr
from tests.integration.client.student import small_student
from tests.integration.conftest import Service


@dataclass
class Front:
    """The service's front door. It can be closed in the middle of everything and opened again at the same address."""

    service: Service
    changes: dict[str, Any] = field(default_factory=dict)
    """Of its settings, from the next opening on."""
    port: int = 0
    _running: list[tuple[uvicorn.Server, threading.Thread]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        settings = self.service.settings.model_copy(update={**self.changes, "port": self.port})
        config = configure(create_app(settings), settings)
        config.timeout_graceful_shutdown = 1
        listener = config.bind_socket()
        self.port = listener.getsockname()[1]
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        self._running.append((server, thread))
        while not server.started and thread.is_alive():
            time.sleep(0.01)

    def close(self) -> None:
        while self._running:
            server, thread = self._running.pop()
            server.should_exit = server.force_exit = True
            thread.join()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Closed inside the block."""
        self.close()
        try:
            yield
        finally:
            self.open()


@pytest.fixture
def front(service: Service) -> Iterator[Front]:
    front = Front(service)
    front.open()
    yield front
    front.close()


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the client remembers lies in the test's folder."""
    monkeypatch.setenv("TDMR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TDMR_CONFIG", str(tmp_path / "config.json"))
    for name in ("TDMR_API_KEY", "TDMR_BASE_URL", "CI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def client(front: Front, surroundings: None) -> Iterator[Tdmr]:
    with Tdmr(front.url) as client:
        yield client


@pytest.fixture
def worker(service: Service) -> Iterator["ImportWorker"]:
    worker = ImportWorker(service)
    yield worker
    worker.stop()


class ImportWorker:
    """Stands in the place of the workers that check uploads: it accepts whatever has the given content."""

    def __init__(self, service: Service) -> None:
        self._service, self._stopping = service, threading.Event()
        self.reject: str | None = None
        self.ask: Understanding | None = None
        """Of each data set whose layout nobody has named."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(0.05):
            with self._service.store.read() as session:
                waiting = session.scalars(select(Dataset.id).where(Dataset.state == DatasetState.VALIDATING)).all()
            for dataset_id in waiting:
                self._decide(dataset_id)

    def _decide(self, dataset_id: str) -> None:
        content = {"classes": ("0", "1"), "counts": {Split.TRAIN: {"0": 2, "1": 2}}, "images": 4, "digest": "d" * 64}
        with self._service.store.write() as session:
            claim = claim_dataset(session, dataset_id, "wk_1")
            if claim is None:
                return
            if self.reject is not None:
                reject_dataset(
                    session, claim, {"code": "dataset_rejected", "detail": self.reject, "hint": "Add images."}
                )
            elif self.ask is not None and claim.options.layout is None:
                ask_about_dataset(session, claim, self.ask)
            else:
                accept_dataset(session, claim, f"datasets/{dataset_id}/p.zip", DatasetReport.model_validate(content))


@pytest.fixture
def trainer(service: Service) -> Iterator[None]:
    """Stands in the place of a training worker: it succeeds with whatever is queued."""
    stopping, files = threading.Event(), small_student()

    def succeed() -> None:
        while not stopping.wait(0.05):
            with service.store.read() as session:
                queued = session.scalars(select(Job.id).where(Job.state == JobState.QUEUED)).all()
            for job_id in queued:
                publish(service, job_id, files)

    thread = threading.Thread(target=succeed)
    thread.start()
    yield
    stopping.set()
    thread.join()


def publish(service: Service, job_id: str, files: Mapping[str, bytes]) -> None:
    """What a worker does at a job's end."""
    with service.store.write() as session:
        claim = claim_job(session, job_id, "wk_1")
        assert claim is not None
    listed = []
    for name, content in files.items():
        service.put_artifact(job_id, claim.epoch, name, content)
        sha256 = hashlib.sha256(content).hexdigest()
        listed.append(ArtifactFile(name=name, bytes=len(content), sha256=sha256, media_type="application/octet-stream"))
    with service.store.write() as session:
        assert finish_job(session, claim, listed, EVALUATION, {"student_accuracy": 0.75})


SCORES = {
    "top1": 0.75,
    "top1_interval": (0.301, 0.954),
    "top5": None,
    "macro_f1": 0.73,
    "per_class": [],
    "confusion": None,
    "calibration": {"ece": 0.1, "nll": 0.5, "brier": 0.3},
}
EVALUATION = {
    "split": "test",
    "note": None,
    "images": 4,
    "classes": ["0", "1"],
    "student": SCORES,
    "teacher": None,
    "probe": SCORES,
    "majority": {"name": "0", "top1": 0.5},
}
"""As a worker writes it."""
