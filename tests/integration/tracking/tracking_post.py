"""A service whose jobs are logged on an MLflow server, and the tracker of one of its workers, whose clock is moved."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from app.db.models import Tracking, utcnow
from app.domain.manifest import ArtifactFile
from app.domain.tracking import TrackingOutcome
from app.services import tracking_claims
from app.services.leases import JobClaim, fail_job, finish_job, release_job
from app.settings import Settings
from tests.integration.client.conftest import EVALUATION
from tests.integration.conftest import Service
from tests.integration.jobs.test_live import claimed, tell
from tests.support import client_of
from worker.tracking.tracker import Tracker

FILES = {
    "student.onnx": b"onnx" * 1000,
    "student.safetensors": b"weights",
    "curves.svg": b"<svg/>",
    "manifest.json": b"{}",
    "evaluation.json": b"names images",
    "answers.csv": b"names images",
}


@dataclass
class Clock:
    now: datetime = field(default_factory=utcnow)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Post:
    """The service with an MLflow server, and the tracker of one worker, whose clock is moved."""

    service: Service
    experiment: str
    clock: Clock = field(default_factory=Clock)

    @property
    def settings(self) -> Settings:
        return self.service.settings

    def tracker(self, **changes: Any) -> Tracker:
        settings = self.settings.model_copy(update=changes)
        server = settings.tracking_server
        assert server is not None
        stopping = threading.Event()
        return Tracker(settings, server, self.service.store, stopping, clock=self.clock, jitter=lambda: 0.0)

    def log_due(self) -> int:
        """What is due by now, or by the clock where that was moved further."""
        self.clock.now = max(self.clock.now, utcnow())
        return self.tracker().log_due()

    def submit(self, **changes: object) -> str:
        track = {"mlflow": {"experiment": self.experiment}}
        return self.service.submit(track=track, metadata={"owner": "ann"}, distill={"image_steps": 1000}, **changes)

    def started(self) -> tuple[str, JobClaim]:
        """A job that runs, with three points."""
        job_id = self.submit()
        return job_id, self.start(job_id)

    def start(self, job_id: str) -> JobClaim:
        claim = claimed(self.service.store, job_id)
        for step in (1, 2, 3):
            tell(self.service.store, claim, step)
        return claim

    def end(self, claim: JobClaim, how: str = "succeeded", files: Mapping[str, bytes] = FILES) -> None:
        ENDS[how](self.service, claim, files)

    def ended(self, how: str = "succeeded", files: Mapping[str, bytes] = FILES) -> str:
        job_id, claim = self.started()
        self.end(claim, how, files)
        assert self.service.http.get(f"/v1/jobs/{job_id}").json()["state"] == how
        return job_id

    def shown(self, job_id: str) -> dict[str, Any]:
        answer = self.service.http.get(f"/v1/jobs/{job_id}")
        found: dict[str, Any] = answer.json()["tracking"]["mlflow"]
        return found

    def row(self, job_id: str) -> Tracking:
        with self.service.store.read() as session:
            return session.get_one(Tracking, (job_id, "mlflow"))

    def claim(self) -> tracking_claims.Attempt:
        self.clock.now = max(self.clock.now, utcnow())
        with self.service.store.write() as session:
            attempt = tracking_claims.claim(session, self.clock.now)
        assert attempt is not None
        return attempt

    def record(self, attempt: tracking_claims.Attempt, outcome: TrackingOutcome) -> None:
        with self.service.store.write() as session:
            tracking_claims.record(session, attempt, outcome, self.clock.now, 0.0)


def succeed(service: Service, claim: JobClaim, files: Mapping[str, bytes]) -> None:
    listed = []
    for name, content in files.items():
        service.put_artifact(claim.id, claim.epoch, name, content)
        sha256 = hashlib.sha256(content).hexdigest()
        listed.append(ArtifactFile(name=name, bytes=len(content), sha256=sha256, media_type="text/plain"))
    with service.store.write() as session:
        assert finish_job(session, claim, listed, EVALUATION, {"student_accuracy": 0.75})


def fail(service: Service, claim: JobClaim, _files: Mapping[str, bytes]) -> None:
    with service.store.write() as session:
        assert fail_job(session, claim, {"code": "training_failed", "detail": "It diverged."})


def cancel(service: Service, claim: JobClaim, _files: Mapping[str, bytes]) -> None:
    assert service.http.post(f"/v1/jobs/{claim.id}/cancel").status_code == 202
    with service.store.write() as session:
        assert release_job(session, claim, "stopped")


ENDS: Mapping[str, Callable[[Service, JobClaim, Mapping[str, bytes]], None]] = {
    "succeeded": succeed,
    "failed": fail,
    "cancelled": cancel,
}


@contextmanager
def served_with(service: Service, **changes: object) -> Iterator[Service]:
    settings = service.settings.model_copy(update=changes)
    with client_of(settings) as http:
        yield replace(service, http=http, settings=settings)
