"""One job, from its claim to its end: claim → fetch the data → child process → publish → finish."""

import json
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.db.models import Job
from app.db.queries import jobs as queries
from app.db.queries import queue
from app.domain.errors import LocalFilesLost
from app.domain.evaluation import EVALUATION_NAME, shown
from app.domain.failpoints import failpoint
from app.domain.files import lost_below, sha256_file
from app.domain.manifest import ArtifactFile, Manifest
from app.domain.previews import PreviewLine
from app.domain.progress import LINE, DoneLine, EventLine, FailureLine, SpeedLine
from app.domain.reproduction import Reproduction
from app.domain.runtime import RuntimeConfig
from app.domain.speeds import Sample, Work
from app.domain.states import TERMINAL_JOB_STATES, JobState
from app.log_context import bound
from app.services import leases, speeds
from app.services.leases import JobClaim
from app.settings import Settings
from app.storage.keys import artifact_key, attempt_prefix, checkpoint_prefix
from worker import cpus, machine, problems, reproduction
from worker.checkpoints import Copies, restore
from worker.lease import STORE_AWAY, CancelAsked, HandBack, Lease, WorkerStopping
from worker.leased_run import STORE_AWAY_AT_CLAIM, Ending, LeasedRun, LeasedWorker
from worker.limits import Limits
from worker.outage import first_line
from worker.previews import PreviewCopies
from worker.problems import AttemptLost, Failed, FilesLost
from worker.progress_writer import ProgressWriter
from worker.scratch import dataset_folder, forget_dataset, job_folder, remove

TRAIN = (sys.executable, "-m", "worker.training")
"""Followed by SPEC.json DATA_DIR OUT_DIR --runtime RUNTIME.json --speeds SPEEDS.json."""
RUNTIME, SPEEDS = "runtime.json", "speeds.json"
EXIT_STOPPED = 75
"""The child was asked to stop, has written a checkpoint and would go on from it."""
SHOWN_FOREIGN_LINES = 3
"""Of what a child prints that is none of ours, a library's complaints for instance, so much is logged, and a count."""
UNREADABLE_CHECKPOINT = EventLine(
    level="warning",
    code="checkpoint_unreadable",
    message="The stored checkpoint is missing or damaged. The job goes on from what its worker has, or starts anew.",
)

log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class Supervisor(LeasedWorker):
    """Runs jobs, one at a time."""

    command: Sequence[str] = TRAIN

    def run_next(self) -> None:
        """Run the queued job of the highest priority, if there is one, and bring it to an end or back to the queue."""
        try:
            claim = self._claim_next()
        except STORE_AWAY as error:
            log.warning(STORE_AWAY_AT_CLAIM, first_line(error))
            return
        if claim is None:
            log.info("no job is queued")
            return
        with bound(job_id=claim.id, dataset_id=claim.spec.dataset_id, epoch=claim.epoch, request_id=claim.request_id):
            log.info("attempt %d begins", claim.epoch)
            _Attempt(self, claim).run()

    def _claim_next(self) -> JobClaim | None:
        while not self.stopping.is_set():
            with self.store.write() as session:
                job_id = queue.next_queued_job(session, self.settings.tenant_max_running)
                if job_id is None:
                    return None
                claim = leases.claim_job(session, job_id, self.worker_id)
            if claim is not None:  # otherwise another worker was faster
                return claim
        return None


class _Attempt(LeasedRun[JobClaim]):
    """One claim of one job."""

    limit_problem = staticmethod(problems.of_job_limit)

    def __init__(self, worker: Supervisor, claim: JobClaim) -> None:
        settings = worker.settings
        told = self._progress = ProgressWriter(worker.store, claim)
        lease = Lease(settings, worker.store, worker.stopping, beat=told.beat, read=told.read, waiting=told.waiting)
        folder = job_folder(settings, claim.id, claim.epoch)
        super().__init__(worker, claim, lease, folder, Limits.for_training(settings))
        self.grace_seconds = settings.stop_grace_seconds
        self.needs_network = settings.hub  # until it has the weights
        self._copies = Copies(worker.blobs, lease, claim)
        self._previews = PreviewCopies(worker.blobs, lease, claim)
        self._last_word: DoneLine | FailureLine | None = None
        self._learned: list[Sample] = []
        self._foreign_lines = 0
        self._next_copy = 0.0

    def work(self) -> Ending:
        failpoint("claimed")
        if not restore(self.worker.blobs, self.claim, self.folder):
            self._progress.add(UNREADABLE_CHECKPOINT)
        metrics = self._train()
        failpoint("trained")
        began = time.monotonic()
        artifacts, evaluation, manifest = self._publish(self.folder / "out")
        failpoint("published")
        self._remember(time.monotonic() - began)
        choice = None if manifest.choice is None else manifest.choice.model_dump(mode="json")
        reproduces = self._reproduction(artifacts, metrics)
        return Ending(
            "succeeded",
            lambda s: leases.finish_job(
                s, self.claim, artifacts, evaluation, metrics, manifest.seconds, choice, reproduces
            ),
        )

    def after_failure(self, error: Exception) -> Ending:
        claim = self.claim
        if isinstance(error, CancelAsked):
            return Ending("cancelled", lambda s: leases.release_job(s, claim, "cancelled"))
        if lost_below([self.worker.settings.scratch, self.worker.settings.cache], error):
            log.warning("local files are gone", exc_info=error)
            error = FilesLost(problems.LOCAL_FILES_LOST)
        if not isinstance(error, HandBack | AttemptLost):
            log.error("failed", exc_info=error)
        if isinstance(error, FilesLost):
            # what is left may lack anything: neither a copy of it nor the next attempt shall be built on it
            remove(self.folder)
            forget_dataset(self.worker.settings, claim.prepared_key)
        else:
            self._copies.keep(self.folder)
        if isinstance(error, HandBack):
            reason = "worker_stopping" if isinstance(error, WorkerStopping) else "pause_withdrawn"
            return Ending("handed back", lambda s: leases.release_job(s, claim, reason), requeue=True)
        if isinstance(error, AttemptLost):
            how = str(error)
            return Ending(f"lost: {how}", lambda s: leases.record_lost_attempt(s, claim, how), requeue=True)
        problem = problems.of_exception(error)
        return Ending(f"failed: {problem['code']}", lambda s: leases.fail_job(s, claim, problem))

    def clean_up(self) -> None:
        claim = self.claim
        try:
            with self.worker.store.read() as session:
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
            remove(self.folder)

    def hear(self, line: str) -> None:
        try:
            told = LINE.validate_json(line)
        except ValidationError:
            self._foreign_lines += 1
            if self._foreign_lines <= SHOWN_FOREIGN_LINES:
                log.warning("the child printed something that is no progress line: %.200r", line)
            return
        if isinstance(told, DoneLine | FailureLine):
            self._last_word = told
        elif isinstance(told, SpeedLine):
            self._learned.append(told)
        elif isinstance(told, PreviewLine):
            self._previews.hear(told)
        else:
            self._progress.add(told)

    def between_lines(self) -> None:
        super().between_lines()
        if not (self.folder / RUNTIME).is_file():  # the child may not miss its folder before its end
            raise FilesLost(problems.LOCAL_FILES_LOST)
        self._previews.between_lines()
        if time.monotonic() > self._next_copy:
            self._copies.keep(self.folder)
            self._next_copy = time.monotonic() + self.worker.settings.checkpoint_seconds

    def environment(self) -> dict[str, str]:
        return cpus.environment(self.worker.settings)

    def write_end(self, change: Callable[[Session], bool]) -> bool:
        return self._progress.end(self.lease, change)

    def _train(self) -> dict[str, float]:
        """Run the child until it is done. Returns the metrics of its last word."""
        claim, settings, folder = self.claim, self.worker.settings, self.folder
        spec, runtime = folder / "spec.json", folder / RUNTIME
        self._previews.out = folder / "out"
        spec.write_text(claim.spec.training().model_dump_json())
        runtime.write_text(runtime_config(settings).model_dump_json())
        known = folder / SPEEDS
        known.write_text(json.dumps(self._known_speeds()))
        with dataset_folder(settings, self.worker.blobs, claim.prepared_key, self.lease.check) as data:
            oom_kills = problems.count_oom_kills()
            self._next_copy = time.monotonic() + settings.checkpoint_seconds
            try:
                told = ["--runtime", str(runtime), "--speeds", str(known)]
                status, errors = self.run_child([*map(str, (spec, data, folder / "out")), *told])
            finally:
                if more := max(0, self._foreign_lines - SHOWN_FOREIGN_LINES):
                    log.warning("the child printed %d more lines that are no progress lines", more)
        last = self._last_word
        if isinstance(last, DoneLine) and status == 0:
            return last.metrics
        log.warning("the child's last words:\n%s", errors)
        if isinstance(last, FailureLine) and last.code == LocalFilesLost.code:
            raise FilesLost(last.detail)
        if isinstance(last, FailureLine):
            raise Failed(problems.of_line(last))
        if status == EXIT_STOPPED:
            raise WorkerStopping
        if status == -signal.SIGKILL and problems.count_oom_kills() > oom_kills:
            raise Failed(problems.of_memory_used_up())
        raise AttemptLost(problems.of_silent_exit(status))

    def _known_speeds(self) -> list[dict[str, Any]]:
        """What this machine is known to take, for the child's own estimates."""
        try:
            with self.worker.store.read() as session:
                return [row._asdict() for row in speeds.known(session, machine.kind(self.worker.settings))]
        except STORE_AWAY:
            return []

    def _remember(self, publishing: float) -> None:
        """What this job has told of the machine. Nothing of the job depends on it."""
        spec, settings = self.claim.spec, self.worker.settings
        students = max(1, len(spec.every_student))
        told = [*self._learned, Sample(work=Work.PUBLISH, amount=max(1e-3, publishing) / students)]
        trained = next((sample for sample in self._learned if sample.work is Work.TRAIN), None)
        if self.peak_bytes and trained is not None and len(spec.every_student) == 1:
            told.append(trained.model_copy(update={"work": Work.PEAK_MEMORY, "amount": float(self.peak_bytes)}))
        try:
            with self.worker.store.write() as session:
                speeds.learn(session, machine.kind(settings), told, of_jobs=True)
        except STORE_AWAY as error:
            log.warning("The store is away; what this job took is forgotten: %s", first_line(error))

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
            self.lease.check()
            if sha256_file(out / file.name) != file.sha256:
                raise ValueError(f"{file.name} is not what its manifest says")
            self.worker.blobs.put_file(artifact_key(self.claim.id, self.claim.epoch, file.name), out / file.name)
        return files, self._evaluation(out), manifest

    def _evaluation(self, out: Path) -> dict[str, Any] | None:
        """Of the job; by student where it names `students` and trains them."""
        spec = self.claim.spec
        if spec.students is not None and spec.method_info.needs_student:
            return {name: _shown(out / name / EVALUATION_NAME) for name in spec.students}
        path = out / EVALUATION_NAME
        return _shown(path) if path.is_file() else None

    def _reproduction(self, files: Sequence[ArtifactFile], metrics: Mapping[str, float]) -> Reproduction | None:
        """Where the job repeats another one."""
        if self.claim.rerun_of is None:
            return None
        with self.worker.store.read() as session:
            original = session.get(Job, self.claim.rerun_of)
            published = queries.list_artifacts(session, self.claim.rerun_of)
        return reproduction.compare(
            self.worker.blobs, published, original.metrics if original else {}, self.folder / "out", files, metrics
        )

    def _unpublish(self, prefix: str) -> None:
        try:
            self.worker.blobs.delete_prefix(prefix)
        except Exception:
            log.exception("what lies under %s is still there", prefix)


def _shown(path: Path) -> dict[str, Any]:
    return shown(json.loads(path.read_bytes()))


def runtime_config(settings: Settings) -> RuntimeConfig:
    """The settings that concern the training package, which does not know `Settings`."""
    shared = settings.model_dump(include=set(RuntimeConfig.model_fields) - {"cache_dir", "models_dir"})
    models_dir = None if settings.models_dir is None else settings.models_dir.expanduser().resolve()
    return RuntimeConfig(cache_dir=settings.cache, models_dir=models_dir, **shared)
