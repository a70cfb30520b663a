"""Make the store, the broker and the storage agree again: take back claims whose holder is lost, send lost messages and
delete leftovers. Every worker does so beside its work; any number may do so at once."""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import timedelta

from celery import Celery

from app.db.engine import Store
from app.db.models import Dataset, Job, utcnow
from app.db.queries import datasets as dataset_queries
from app.db.queries import jobs as queries
from app.db.queries import queue
from app.db.queries.jobs import Held
from app.domain.address_tables import TABLE
from app.domain.states import TERMINAL_JOB_STATES, DatasetState
from app.log_context import bound
from app.queue import DATASETS_QUEUE, IMPORT_TASK, TRAIN_TASK, TRAINING_QUEUE, BrokerAway, probe, send, waiting_messages
from app.services import reaping, retention
from app.services.datasets import drop_blobs, expire_unanswered
from app.services.reaping import Watch
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.keys import attempt_prefix, checkpoint_key, checkpoint_prefix, import_keys
from worker.lease import STORE_AWAY
from worker.outage import Outage
from worker.scratch import sweep_attempts, sweep_downloads, sweep_jobs

PRUNE_SECONDS = 60.0
"""Days are counted; a minute more does not matter."""

log = logging.getLogger(__name__)


class Reconciler:
    """Runs in a thread of its own until `stopping` is set."""

    def __init__(
        self, settings: Settings, store: Store, blobs: Blobs, celery: Celery, stopping: threading.Event
    ) -> None:
        self._settings, self._store, self._blobs, self._celery = settings, store, blobs, celery
        self._stopping = stopping
        self._jobs, self._datasets = Watch(), Watch()
        self._store_outage = Outage(log, "The store", "nothing is reconciled")
        self._broker_outage = Outage(log, "The broker", "no message is sent")
        self._next_prune = 0.0
        self._failing: dict[str, str] = {}
        """Of each part that fails, with what: an error that comes again every few seconds is logged once."""

    def start(self) -> None:
        threading.Thread(target=self._run, name="reconciler", daemon=True).start()

    def reconcile(self) -> None:
        """Do every part once. A part that fails is tried again next time and holds up no other."""
        for part in (self.reclaim_lost, self.resend_lost, self.delete_leftovers, self.delete_old):
            try:
                part()
            except STORE_AWAY as error:
                self._store_outage.begin(error)
                return
            except BrokerAway as error:
                self._broker_outage.begin(error)
            except Exception as error:
                if self._failing.get(part.__name__) != repr(error):
                    log.exception("The reconciler cannot %s", part.__name__.replace("_", " "))
                self._failing[part.__name__] = repr(error)
                continue
            self._store_outage.end()
            self._failing.pop(part.__name__, None)

    def reclaim_lost(self) -> None:
        """Give back what is held by a worker without a sign of life for `lease_seconds`."""
        with self._store.read() as session:
            jobs, datasets = queries.held_jobs(session), dataset_queries.held_datasets(session)
        now, lease = time.monotonic(), self._settings.lease_seconds
        for held, seconds in self._jobs.seconds_still(jobs, now).items():
            if seconds > lease:
                with self._store.write() as session:
                    state = reaping.reap_job(session, held)
                with bound(job_id=held.id, epoch=held.epoch):
                    log.warning("attempt %d gave no sign of life; the job is now %s", held.epoch, state)
                    if state is not None:
                        self._drop_attempt(held)
        for held, seconds in self._datasets.seconds_still(datasets, now).items():
            if seconds > lease:
                with self._store.write() as session:
                    dataset = session.get(Dataset, held.id)
                    archive = dataset.upload_key if dataset else None
                    verdict = reaping.reap_dataset(session, held)
                with bound(dataset_id=held.id, epoch=held.epoch):
                    log.warning("import %d gave no sign of life; the data set is now %s", held.epoch, verdict)
                if verdict is DatasetState.REJECTED:
                    written = import_keys(held.id, held.epoch) | ({archive} if archive is not None else set())
                    with self._store.read() as session:
                        drop_blobs(session, self._blobs, written)

    def resend_lost(self) -> None:
        """Send again what was lost: as many messages as there are waiting objects, and no more."""
        with self._store.read() as session:
            jobs = queue.waiting_jobs(session, self._settings.tenant_max_running)
            imports = dataset_queries.waiting_imports(session, self._settings.tenant_max_downloads)
        self._top_up(TRAINING_QUEUE, TRAIN_TASK, jobs)
        self._top_up(DATASETS_QUEUE, IMPORT_TASK, [waiting.id for waiting in imports])
        if self._broker_outage.lasts:
            probe(self._celery)  # there may be nothing to send, and a full Redis tells how many messages wait
            self._broker_outage.end()

    def delete_leftovers(self) -> None:
        """Delete checkpoints and previews that are no longer needed, and this host's folders of jobs that ended
        elsewhere."""
        failed_before = utcnow() - timedelta(days=self._settings.keep_checkpoint_days)
        with self._store.read() as session:
            jobs = queries.kept_checkpoints(session, failed_before)
            previews = queries.leftover_previews(session)
        for preview in previews:
            self._blobs.delete(preview.storage_key)
            with self._store.write() as session:
                queries.delete_preview(session, preview)
        for job in jobs:
            assert job.checkpoint_key is not None
            self._blobs.delete(job.checkpoint_key)  # it may be one that the job has inherited
            self._blobs.delete_prefix(checkpoint_prefix(job.id))
            with self._store.write() as session:
                queries.forget_checkpoint(session, job.id, job.checkpoint_key)
        self._expire_unanswered()
        sweep_jobs(self._settings, self._is_over)
        sweep_attempts(self._settings)
        sweep_downloads(self._settings, self._is_fetched)

    def delete_old(self) -> None:
        """Delete a batch of what is older than its setting allows; the next one at once while there is more, else in a
        minute."""
        now = time.monotonic()
        if now < self._next_prune:
            return
        more = False
        for rule in retention.RULES:
            before = rule.before(self._settings)
            if before is None:
                continue
            old = retention.find_old(self._store, rule, before, retention.BATCH)
            if old:
                done = retention.prune(self._store, self._blobs, rule, before, old)
                log.info("deleted by age: %d %s, %d bytes", done.count, rule.what, done.bytes)
            more = more or len(old) == retention.BATCH
        self._next_prune = now if more else now + PRUNE_SECONDS

    def _expire_unanswered(self) -> None:
        """Reject the data sets whose owner was asked for a reading and has not answered in time."""
        asked_before = utcnow() - timedelta(hours=self._settings.keep_unanswered_hours)
        with self._store.read() as session:
            waiting = dataset_queries.unanswered_datasets(session, asked_before)
        for dataset_id in waiting:
            with self._store.write() as session:
                archive = expire_unanswered(session, dataset_id, asked_before)
            if archive is not None:
                with self._store.read() as session:
                    drop_blobs(session, self._blobs, {archive})

    def _drop_attempt(self, held: Held) -> None:
        """Delete what a lost attempt has stored and no row names; if the job never succeeds, nothing else would."""
        copy = checkpoint_key(held.id, held.epoch)
        try:
            self._blobs.delete_prefix(attempt_prefix(held.id, held.epoch))
            with self._store.read() as session:
                kept = queries.is_kept_checkpoint(session, copy)
            if not kept:
                self._blobs.delete(copy)
        except Exception:  # others are still to be reaped
            log.exception("what attempt %d has stored is still there", held.epoch)

    def _is_over(self, job_id: str) -> bool:
        with self._store.read() as session:
            job = session.get(Job, job_id)
        return job is None or job.state in TERMINAL_JOB_STATES

    def _is_fetched(self, dataset_id: str) -> bool:
        with self._store.read() as session:
            dataset = session.get(Dataset, dataset_id)
        if dataset is None or dataset.state != DatasetState.VALIDATING:
            return True
        return dataset.upload_key is not None and not dataset.upload_key.endswith(TABLE)

    def _top_up(self, queue: str, task: str, waiting: Sequence[str]) -> None:
        if not waiting:
            return
        missing = len(waiting) - waiting_messages(self._celery, queue)
        for object_id in waiting[: max(0, missing)]:
            send(self._celery, task, object_id)

    def _run(self) -> None:
        while not self._stopping.wait(self._settings.reconcile_seconds):
            self.reconcile()
