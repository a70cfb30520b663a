"""One import of a data set: claim → fetch the archive → child process → store the prepared data set → finish.

The archive is hostile until shown otherwise, so it is opened in a child. Its verdict is the user's: `rejected` says
what is wrong with the archive. A child that dies without one is ours: it is tried once more.
"""

import fcntl
import json
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from app.db.engine import Store
from app.domain.dataset import DatasetReport, ImportResult
from app.log_context import bound, environment
from app.services import dataset_leases
from app.services.dataset_leases import DatasetClaim
from app.services.datasets import drop_blobs
from app.services.leases import Heartbeat
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.keys import prepared_key, preview_key
from worker import problems
from worker.child import Child
from worker.lease import STORE_AWAY, Lease, LeaseLost, WorkerStopping
from worker.limits import Limits, Watchdog
from worker.problems import Failed
from worker.scratch import lock_folder, remove

INGEST = (sys.executable, "-m", "app.ingest")
"""Followed by ARCHIVE OUT_DIR."""
TRIES = 2
_READ_SECONDS = 0.2

log = logging.getLogger(__name__)


class Importer:
    """Imports data sets, one at a time."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        blobs: Blobs,
        worker_id: str,
        stopping: threading.Event,
        *,
        command: Sequence[str] = INGEST,
        requeue: Callable[[str], None] = lambda dataset_id: None,
    ) -> None:
        """
        Args:
            stopping: set when the worker is to stop; the import is then handed back.
            command: what imports.
            requeue: called with the id of a data set that was handed back, to tell other workers.
        """
        self._settings, self._store, self._blobs = settings, store, blobs
        self._worker_id, self._stopping = worker_id, stopping
        self._command, self._requeue = command, requeue
        self._progress = 0.0

    def run(self, dataset_id: str) -> None:
        """Import the data set if it waits for that."""
        if self._stopping.is_set():
            return  # the row still says that it waits
        with self._store.write() as session:
            claim = dataset_leases.claim_dataset(session, dataset_id, self._worker_id)
        if claim is None:
            log.info("%s does not wait for an import", dataset_id)
            return
        with bound(dataset_id=claim.id, epoch=claim.epoch):
            log.info("import begins, attempt %d", claim.epoch)
            self._run(claim)

    def _run(self, claim: DatasetClaim) -> None:
        self._progress = 0.0

        def beat() -> Heartbeat:
            with self._store.write() as session:
                return dataset_leases.beat_dataset(session, claim, self._progress)

        folder = self._settings.scratch / "imports" / f"{claim.id}-e{claim.epoch}"
        with lock_folder(folder, fcntl.LOCK_EX), Lease(self._settings, self._store, self._stopping, beat=beat) as lease:
            try:
                self._bring_to_an_end(claim, lease, folder)
            except LeaseLost as lost:
                log.warning("leaving attempt %d: %s", claim.epoch, lost)
            finally:
                remove(folder)
            self._tidy(claim)

    def _bring_to_an_end(self, claim: DatasetClaim, lease: Lease, folder: Path) -> None:
        try:
            self._blobs.fetch(claim.upload_key, folder / "archive")
            result = self._import(claim, lease, folder)
            if result.report is None:
                problem = problems.of_verdict(result)
                self._end(lease, claim, "rejected", lambda s: dataset_leases.reject_dataset(s, claim, problem))
                return
            report, key = result.report, prepared_key(claim.id, claim.epoch)
            self._blobs.put_file(preview_key(key), folder / "out" / "preview.json")
            self._blobs.put_file(key, folder / "out" / "prepared.zip")
            self._end(lease, claim, "ready", lambda s: dataset_leases.accept_dataset(s, claim, key, report))
        except LeaseLost:
            raise
        except WorkerStopping:
            self._end(lease, claim, "handed back", lambda s: dataset_leases.release_dataset(s, claim))
            self._requeue(claim.id)
        except Failed as failed:
            problem = failed.problem
            self._end(lease, claim, "rejected", lambda s: dataset_leases.reject_dataset(s, claim, problem))
        except Exception as error:
            log.exception("the import failed")
            problem = problems.of_failed_import(error)
            self._end(lease, claim, "rejected", lambda s: dataset_leases.reject_dataset(s, claim, problem))

    def _import(self, claim: DatasetClaim, lease: Lease, folder: Path) -> ImportResult:
        """The child's verdict.

        Raises:
            ChildProcessError: every try died without one.
        """
        for attempt in range(1, TRIES + 1):
            out = folder / "out"
            remove(out)
            child = Child([*self._command, str(folder / "archive"), str(out), *self._limits()], env=environment())
            try:
                last = self._listen(lease, child)
            finally:
                status = child.close()
            if status == 0 and (result := _result_of(last, out)) is not None:
                return result
            log.warning("try %d died with status %d:\n%s", attempt, status, child.stderr_tail())
        raise ChildProcessError("the import died every time")

    def _limits(self) -> list[str]:
        settings = self._settings
        memory = [] if settings.child_memory_gb is None else [f"--memory-gb={settings.child_memory_gb}"]
        return [
            f"--max-images={settings.max_images}",
            f"--max-unpacked-bytes={settings.max_unpacked_bytes}",
            f"--max-image-pixels={settings.max_image_pixels}",
            *memory,
        ]

    def _listen(self, lease: Lease, child: Child) -> str:
        """The last line; those before it tell how far it is."""
        last, memory = "", self._settings.child_memory_gb
        limits = Limits(None if memory is None else memory * 1e9, self._settings.import_minutes * 60)
        watchdog = Watchdog(child.pid, limits)
        while not child.ended():
            lease.check()
            if limit := watchdog.passed():
                raise Failed(problems.of_import_limit(limit, self._settings))
            if line := child.read(_READ_SECONDS):
                last, self._progress = line, _progress_of(line) or self._progress
        return last

    @staticmethod
    def _end(lease: Lease, claim: DatasetClaim, how: str, change: Callable[[Session], bool]) -> None:
        if not lease.write(change):
            raise LeaseLost("it was taken over, has ended or was deleted")
        log.info(how)

    def _tidy(self, claim: DatasetClaim) -> None:
        """Delete the blobs that no row names: a commit may have got through whose answer did not."""
        written = {prepared_key(claim.id, epoch) for epoch in range(1, claim.epoch + 1)}
        try:
            with self._store.read() as session:
                drop_blobs(session, self._blobs, written | {claim.upload_key})
        except STORE_AWAY:
            log.warning("the store is away, so the data set's blobs stay")
        except Exception:
            log.exception("a blob that nobody needs is still there")


def _progress_of(line: str) -> float | None:
    try:
        return min(1.0, max(0.0, float(json.loads(line)["progress"])))
    except (ValueError, TypeError, KeyError):
        return None


def _result_of(line: str, out: Path) -> ImportResult | None:
    """The verdict; the report is a file, since it may be longer than any line."""
    try:
        content = json.loads(line)
        if content.pop("type") != "result":
            return None
        result = ImportResult.model_validate(content)
        if result.code is not None:
            return result
        return ImportResult(report=DatasetReport.model_validate_json((out / "report.json").read_bytes()))
    except (ValueError, AttributeError, KeyError, OSError):  # pydantic's own error is a ValueError
        return None
