"""One job, from its claim to its end: claim → fetch the data → child process → publish → finish.

No session is open while anything long runs, and every write names the claim, so a supervisor that was taken for dead
can do no harm: its writes hit nothing, and then it leaves.
"""

import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from app import log_context
from app.db import queries
from app.db.engine import Store
from app.db.models import Job
from app.domain.faults import fault_point
from app.domain.files import sha256_file
from app.domain.manifest import ArtifactFile, Manifest
from app.domain.progress import LINE, DoneLine, EventLine, FailureLine
from app.domain.states import TERMINAL_JOB_STATES, JobState
from app.log_context import bound
from app.services import leases
from app.services.leases import JobClaim
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.keys import artifact_key, attempt_prefix, checkpoint_prefix
from worker import problems
from worker.checkpoints import Copies, bring
from worker.child import Child
from worker.lease import STORE_AWAY, CancelAsked, HandBack, Lease, LeaseLost, WorkerStopping
from worker.limits import Limits, Watchdog
from worker.problems import AttemptLost, Failed
from worker.relay import Relay
from worker.scratch import dataset_folder, job_folder, remove

TRAIN = (sys.executable, "-m", "worker.training")
"""Followed by SPEC.json DATA_DIR OUT_DIR."""
EXIT_STOPPED = 75
"""The child was asked to stop, has written a checkpoint and would go on from it."""
UNREADABLE_CHECKPOINT = EventLine(
    level="warning",
    code="checkpoint_unreadable",
    message="The stored checkpoint is missing or damaged. The job goes on from what its worker has, or starts anew.",
)
_READ_SECONDS = 0.2

log = logging.getLogger(__name__)


class Supervisor:
    """Runs jobs, one at a time."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        blobs: Blobs,
        worker_id: str,
        stopping: threading.Event,
        *,
        command: Sequence[str] = TRAIN,
        requeue: Callable[[str], None] = lambda job_id: None,
    ) -> None:
        """
        Args:
            stopping: set when the worker is to stop; the running job is then handed back.
            command: what trains.
            requeue: called with the id of a job that was handed back, to tell other workers.
        """
        self.settings, self.store, self.blobs = settings, store, blobs
        self.worker_id, self.stopping = worker_id, stopping
        self.command, self.requeue = command, requeue

    def run_next(self) -> None:
        """Run the queued job of the highest priority, if there is one, and bring it to an end or back to the queue."""
        claim = self._claim_next()
        if claim is None:
            log.info("no job is queued")
            return
        with bound(job_id=claim.id, dataset_id=claim.spec.dataset_id, epoch=claim.epoch, request_id=claim.request_id):
            log.info("attempt %d begins", claim.epoch)
            _Attempt(self, claim).run()

    def _claim_next(self) -> JobClaim | None:
        while not self.stopping.is_set():
            with self.store.write() as session:
                job_id = queries.next_queued_job(session, self.settings.tenant_max_running)
                if job_id is None:
                    return None
                claim = leases.claim_job(session, job_id, self.worker_id)
            if claim is not None:  # otherwise another worker was faster
                return claim
        return None


class _Attempt:
    """One claim of one job."""

    def __init__(self, of: Supervisor, claim: JobClaim) -> None:
        self._of, self._claim = of, claim
        self._relay = Relay(of.store, claim)
        self._lease = Lease(
            of.settings,
            of.store,
            of.stopping,
            beat=self._relay.beat,
            look=self._relay.look,
            waiting=self._relay.waiting,
        )
        self._copies = Copies(of.blobs, self._lease, claim)

    def run(self) -> None:
        claim = self._claim
        with job_folder(self._of.settings, claim.id, claim.epoch) as folder, self._lease:
            fault_point("claimed")
            try:
                self._bring_to_an_end(folder)
            except LeaseLost as lost:
                log.warning("leaving attempt %d: %s", claim.epoch, lost)
            # What is left of the attempt is decided by the row and by nothing we believe: a commit may have got through
            # whose answer did not.
            try:
                with self._of.store.read() as session:
                    job = session.get(Job, claim.id)
            except STORE_AWAY:
                return
            if job is None or job.state != JobState.SUCCEEDED or job.epoch != claim.epoch:
                self._unpublish(attempt_prefix(claim.id, claim.epoch))
            else:  # what attempts that were killed have left
                for epoch in range(1, claim.epoch):
                    self._unpublish(attempt_prefix(claim.id, epoch))
                self._unpublish(checkpoint_prefix(claim.id))
            if job is None or job.state in TERMINAL_JOB_STATES:
                remove(folder)

    def _bring_to_an_end(self, folder: Path) -> None:
        claim = self._claim
        try:
            if not bring(self._of.blobs, claim, folder):
                self._relay.add(UNREADABLE_CHECKPOINT)
            metrics = self._train(folder)
            fault_point("trained")
            artifacts, evaluation, manifest = self._publish(folder / "out")
            fault_point("published")
            choice = None if manifest.choice is None else manifest.choice.model_dump(mode="json")
            self._end(
                "succeeded",
                lambda s: leases.finish_job(s, claim, artifacts, evaluation, metrics, manifest.seconds, choice),
            )
        except LeaseLost:
            raise
        except CancelAsked:
            self._end("cancelled", lambda s: leases.release_job(s, claim, "cancelled"))
        except HandBack as asked:
            self._copies.keep(folder)
            reason = "worker_stopping" if isinstance(asked, WorkerStopping) else "pause_withdrawn"
            self._end("handed back", lambda s: leases.release_job(s, claim, reason))
            self._of.requeue(claim.id)
        except AttemptLost as lost:
            how = str(lost)
            self._copies.keep(folder)
            self._end(f"lost: {how}", lambda s: leases.lose_job(s, claim, how))
            self._of.requeue(claim.id)
        except Exception as error:
            log.exception("failed")
            problem = problems.of_exception(error)
            self._copies.keep(folder)
            self._end(f"failed: {problem['code']}", lambda s: leases.fail_job(s, claim, problem))

    def _train(self, folder: Path) -> dict[str, float]:
        """Run the child until it is done; its own last word on the metrics comes back."""
        claim, of = self._claim, self._of
        spec = folder / "spec.json"
        spec.write_text(claim.spec.training().model_dump_json())
        with dataset_folder(of.settings, of.blobs, claim.prepared_key, self._lease.check) as data:
            oom_kills = problems.count_oom_kills()
            child = Child(
                [*of.command, str(spec), str(data), str(folder / "out")], env=training_environment(of.settings)
            )
            self._lease.guard(child.kill)
            try:
                last = self._listen(child, folder)
            except HandBack:
                child.close(of.settings.stop_grace_seconds)  # time for a checkpoint
                while (text := child.read(0)) is not None:  # the curves up to it
                    self._hear(text)
                raise
            finally:
                status = child.close()
                log.info("the child has ended with status %d", status)
        if isinstance(last, DoneLine) and status == 0:
            return last.metrics
        log.warning("the child's last words:\n%s", child.stderr_tail())
        if isinstance(last, FailureLine):
            raise Failed(problems.of_line(last))
        if status == EXIT_STOPPED:
            raise WorkerStopping
        if status == -signal.SIGKILL and problems.count_oom_kills() > oom_kills:
            raise Failed(problems.of_memory_used_up())
        raise AttemptLost(problems.of_silent_exit(status))

    def _listen(self, child: Child, folder: Path) -> DoneLine | FailureLine | None:
        last: DoneLine | FailureLine | None = None
        settings = self._of.settings
        watchdog = Watchdog(child.pid, Limits.of(settings))
        next_copy = time.monotonic() + settings.checkpoint_seconds
        while not child.ended():
            self._lease.check()
            if limit := watchdog.passed():
                raise Failed(problems.of_job_limit(limit, settings))
            if time.monotonic() > next_copy:
                self._copies.keep(folder)
                next_copy = time.monotonic() + settings.checkpoint_seconds
            text = child.read(_READ_SECONDS)
            if text is not None:
                last = self._hear(text) or last
        return last

    def _hear(self, text: str) -> DoneLine | FailureLine | None:
        """Pass a line of the child on; a last word comes back instead."""
        try:
            line = LINE.validate_json(text)
        except ValidationError:
            log.warning("not a line of ours: %.200r", text)
            return None
        if isinstance(line, DoneLine | FailureLine):
            return line
        self._relay.add(line)
        return None

    def _publish(self, out: Path) -> tuple[list[ArtifactFile], dict[str, Any] | None, Manifest]:
        """Store what the manifest lists, and the manifest, under this attempt's keys. Nobody sees them yet."""
        manifest = Manifest.model_validate_json((out / "manifest.json").read_bytes())
        itself = out / "manifest.json"
        files = [
            *manifest.files,
            ArtifactFile(
                name=itself.name,
                bytes=itself.stat().st_size,
                sha256=sha256_file(itself),
                media_type="application/json",
            ),
        ]
        for file in files:
            self._lease.check()
            if sha256_file(out / file.name) != file.sha256:
                raise ValueError(f"{file.name} is not what its manifest says")
            self._of.blobs.put_file(artifact_key(self._claim.id, self._claim.epoch, file.name), out / file.name)
        return files, self._evaluation(out), manifest

    def _evaluation(self, out: Path) -> dict[str, Any] | None:
        """Of the job; by student where it names `students` and trains them."""
        spec = self._claim.spec
        if spec.students is not None and spec.method.needs_student:
            return {name: json.loads((out / name / "evaluation.json").read_bytes()) for name in spec.students}
        path = out / "evaluation.json"
        return json.loads(path.read_bytes()) if path.is_file() else None

    def _end(self, how: str, change: Callable[[Session], bool]) -> None:
        if not self._relay.end(self._lease, change):
            raise LeaseLost("it was taken over or has ended")
        log.info(how)

    def _unpublish(self, prefix: str) -> None:
        try:
            self._of.blobs.delete_prefix(prefix)
        except Exception:
            log.exception("what lies under %s is still there", prefix)


def training_environment(settings: Settings) -> dict[str, str]:
    """The settings that the training room reads, which knows no `Settings`, and what its log lines are about."""
    environment = {
        "TDMR_DEVICE": settings.device,
        "TDMR_PRECISION": settings.precision,
        "TDMR_HUB": str(settings.hub).lower(),
        "TDMR_CACHE_DIR": str(settings.cache),
        "TDMR_CACHE_GB": str(settings.cache_gb),
        "TDMR_CHECKPOINT_SECONDS": str(settings.checkpoint_seconds),
        "TDMR_LOG_LEVEL": settings.log_level,
        **log_context.environment(),
    }
    if settings.models_dir is not None:
        environment["TDMR_MODELS_DIR"] = str(settings.models_dir.expanduser().resolve())
    return environment
