"""Log what has ended on the operator's MLflow server. Every import worker does so in a thread beside its work; any
number may do so at once.

Each job is written by a process of its own: MLflow's client has no bound on the time of all its requests together, nor
on what its plugins do, and a process can be ended.
"""

import logging
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime

from pydantic import ValidationError

from app import log_context
from app.db.engine import Store
from app.db.models import utcnow
from app.db.queries import trackings as queries
from app.domain.failpoints import failpoint
from app.domain.tracking import JOB_FILE, TrackedJob, TrackingOutcome, TrackingServer, without_secrets
from app.log_context import bound
from app.services import tracking_claims
from app.services.tracking_claims import CLAIM, Attempt
from app.settings import Settings
from worker.child import Child
from worker.lease import STORE_AWAY
from worker.outage import Outage, first_line
from worker.scratch import tracking_folder

POLL_SECONDS = 2.0
"""How long a job may have ended before it is logged."""
ATTEMPT_SECONDS = 3600.0
"""Then its process is ended. Some hundred megabytes of files over a slow line take minutes."""
PUT_OFF_SECONDS = CLAIM.total_seconds() / 8
FENCE_SECONDS = CLAIM.total_seconds() / 2
"""A claim that could not be put off for so long is given up: another worker will have it soon."""
RECORD_SECONDS = 25.0
"""With the time since the claim was last put off it stays below that of a claim."""
MLFLOW = {
    # of a request. What fails is tried again later, and without an attempt of MLflow's own in between: a run whose
    # creation was answered by a proxy's 502 may be there, and is found by its tag only after that
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Unless the worker's own environment says otherwise."""
PASSWORDS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
FAILED = "The service itself failed; its log has the cause."
_READ_SECONDS = 0.2

log = logging.getLogger(__name__)


class _GivenUp(Exception):
    """The claim is over, or soon will be."""


class Tracker:
    """Looks for what is owed in a thread of its own until `stopping` is set."""

    def __init__(
        self,
        settings: Settings,
        server: TrackingServer,
        store: Store,
        stopping: threading.Event,
        *,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], datetime] = utcnow,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings, self._server, self._store, self._stopping = settings, server, store, stopping
        self._clock, self._jitter = clock, jitter
        self.environment = _environment(settings, server, environment)
        """Of the process that writes a run."""
        self._secrets = [server.password, *(environment.get(name) for name in PASSWORDS)]
        self._outage = Outage(log, "The store", "no job is logged")
        self._failing: str | None = None
        """The last error of its own: one that comes again every two seconds is logged once."""
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Until it has seen `stopping` and handed back what it was at, for so long at most."""
        self._thread.join(seconds)

    def log_due(self) -> int:
        """Log what is due, one job after the other; how many attempts that were."""
        count = 0
        while (attempt := self._claim()) is not None:
            with bound(job_id=attempt.job_id):
                self._log(attempt)
            count += 1
        return count

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.log_due()
                self._outage.end()
                self._failing = None
            except STORE_AWAY as error:
                self._outage.begin(error)
            except Exception as error:
                if self._failing != repr(error):
                    log.exception("Jobs cannot be logged")
                self._failing = repr(error)
            self._stopping.wait(POLL_SECONDS)

    def _claim(self) -> Attempt | None:
        if self._stopping.is_set():
            return None
        now = self._clock()
        with self._store.read() as session:  # most looks find nothing, and need no lock to do so
            if not queries.is_any_due(session, now):
                return None
        with self._store.write() as session:
            return tracking_claims.claim(session, now)

    def _log(self, attempt: Attempt) -> None:
        with self._store.read() as session:
            job = tracking_claims.read_job(session, attempt, self._settings.public_url)
        if job is None:
            return  # deleted since it was claimed
        try:
            outcome = self._outcome(attempt, job)
        except _GivenUp as given_up:
            log.warning("leaving this attempt: %s", given_up)
            return
        log.info("%s", outcome.error or f"logged: {outcome.url}")
        failpoint("run_logged")
        give_up = time.monotonic() + RECORD_SECONDS
        while True:
            try:
                with self._store.write() as session:
                    tracking_claims.record(session, attempt, outcome, self._clock(), self._jitter())
                return
            except STORE_AWAY:
                if time.monotonic() >= give_up:
                    raise
            time.sleep(POLL_SECONDS)

    def _outcome(self, attempt: Attempt, job: TrackedJob) -> TrackingOutcome:
        """
        Raises:
            _GivenUp: nothing is to be recorded.
        """
        with tracking_folder(self._settings, job.id, attempt.epoch) as folder:
            (folder / JOB_FILE).write_text(job.model_dump_json())
            environment = self.environment | log_context.environment()
            child = Child([sys.executable, "-m", "worker.tracking", str(folder)], env=environment)
            try:
                said = self._listen(attempt, child)
            finally:
                status = child.close()
            errors = without_secrets(child.stderr_tail(), self._secrets)
            if said is None or (said.error is not None and errors):
                log.warning("the process ended with status %d; it said last: %s", status, errors)
            return said or TrackingOutcome(url=None, error=FAILED)

    def _listen(self, attempt: Attempt, child: Child) -> TrackingOutcome | None:
        """What the process says of itself in the end, while the claim is put off again and again."""
        began = put_off = time.monotonic()
        said: TrackingOutcome | None = None
        while not child.ended():
            now = time.monotonic()
            if self._stopping.is_set():
                child.close()
                self._hand_back(attempt)
                raise _GivenUp("the worker is to stop")
            if now - began > ATTEMPT_SECONDS:
                return TrackingOutcome(url=None, error=f"It was not done after {ATTEMPT_SECONDS / 60:.0f} minutes.")
            if now - put_off > PUT_OFF_SECONDS and self._put_off(attempt, late=now - put_off > FENCE_SECONDS):
                put_off = now
            if (line := child.read(_READ_SECONDS)) is not None:
                said = self._heard(line) or said
        return said

    def _put_off(self, attempt: Attempt, *, late: bool) -> bool:
        """
        Raises:
            _GivenUp: somebody else has claimed it, it was deleted, or the store is away for too long.
        """
        try:
            with self._store.write() as session:
                if not tracking_claims.put_off(session, attempt, self._clock()):
                    raise _GivenUp("the job was deleted, or another worker has it")
            return True
        except STORE_AWAY as error:
            if late:
                raise _GivenUp(f"the store is away: {first_line(error)}") from None
            return False

    def _hand_back(self, attempt: Attempt) -> None:
        with suppress(*STORE_AWAY), self._store.write() as session:  # else its claim runs out
            tracking_claims.hand_back(session, attempt, self._clock())

    def _heard(self, line: str) -> TrackingOutcome | None:
        try:
            outcome = TrackingOutcome.model_validate_json(line)
        except ValidationError:
            return None  # of a library that prints
        error = None if outcome.error is None else without_secrets(outcome.error, self._secrets)
        return TrackingOutcome(url=outcome.url, error=error)


def _environment(settings: Settings, server: TrackingServer, own: Mapping[str, str]) -> dict[str, str]:
    """Of the process. It runs other people's code, so it knows storage and server, and neither database nor broker."""
    given = {name: value for name, value in own.items() if not name.startswith("TDMR_")}
    needed = {
        "TDMR_STORAGE_URL": settings.storage,
        "TDMR_MLFLOW_URI": server.uri,
        "TDMR_LOG_LEVEL": settings.log_level,
    }
    if server.user is not None:
        needed |= {"MLFLOW_TRACKING_USERNAME": server.user, "MLFLOW_TRACKING_PASSWORD": server.password or ""}
    return MLFLOW | given | needed
