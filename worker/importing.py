"""One import of a data set: claim → fetch the archive → child process → store the prepared data set → finish.

The archive is hostile until shown otherwise, so it is opened in a child. Its verdict is the user's: `rejected` says
what is wrong with the archive, and `needs_answer` asks which of several readings is meant; then the archive is kept.
A child that dies without a verdict is ours: it is tried once more.
"""

import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.db.models import utcnow
from app.db.queries.claims import Heartbeat
from app.db.queries.datasets import waiting_imports
from app.domain.address_tables import ADDRESSES_NAME
from app.domain.dataset import DatasetReport, ImportResult, Understanding
from app.domain.errors import BytesQuotaExceeded, DestinationRefused, SourceUnavailable
from app.domain.files import lost_below
from app.log_context import bound
from app.outbound import Outbound
from app.services import dataset_leases
from app.services.dataset_leases import DatasetClaim
from app.services.datasets import drop_blobs
from app.settings import Settings
from app.storage.keys import import_keys, prepared_key, preview_key
from worker import problems
from worker.downloads.download import PAUSES
from worker.downloads.images import PAUSES as IMAGE_PAUSES
from worker.fetching import Fetching
from worker.lease import STORE_AWAY, Lease, WorkerStopping
from worker.leased_run import STORE_AWAY_AT_CLAIM, Ending, LeasedRun, LeasedWorker
from worker.limits import Limits
from worker.outage import first_line
from worker.problems import Failed, Problem
from worker.scratch import import_folder, remove

INGEST = (sys.executable, "-m", "app.ingest")
"""Followed by ARCHIVE OUT_DIR."""
TRIES = 2

log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class Importer(LeasedWorker):
    """Imports data sets, one at a time."""

    command: Sequence[str] = INGEST
    outbound: Outbound | None = None
    """Reaches the addresses that archives are fetched from; None: as the settings allow."""
    pauses: Sequence[float] = PAUSES
    """Between the tries of a download."""
    image_pauses: Sequence[float] = IMAGE_PAUSES
    """Between those of an image that a table names."""

    def run(self, dataset_id: str) -> None:
        """Import the data set if it waits for that and its archive is stored; else the one that is next."""
        if self.stopping.is_set():
            return  # the row still says that it waits
        most = self.settings.tenant_max_downloads
        try:
            with self.store.write() as session:
                claim = dataset_leases.claim_next_dataset(session, dataset_id, self.worker_id, most)
        except STORE_AWAY as error:
            log.warning(STORE_AWAY_AT_CLAIM, first_line(error))
            return
        if claim is None:
            log.info("neither %s nor another data set may be imported now", dataset_id)
            return
        with bound(dataset_id=claim.id, epoch=claim.epoch):
            log.info("import begins, attempt %d", claim.epoch)
            _Import(self, claim).run()
        if claim.source_url is not None or claim.may_be_table:
            self._tell_of_next(claim.id)

    def _tell_of_next(self, fetched: str) -> None:
        """A download was over; messages about others of its tenant may have been taken while none could begin."""
        try:
            with self.store.read() as session:
                waiting = waiting_imports(session, self.settings.tenant_max_downloads)
        except STORE_AWAY:
            return  # the reconciler will
        if (after := next((one.id for one in waiting if one.is_download and one.id != fetched), None)) is not None:
            self.requeue(after)


class _Import(LeasedRun[DatasetClaim]):
    """One claim of one data set."""

    limit_problem = staticmethod(problems.of_import_limit)

    def __init__(self, worker: Importer, claim: DatasetClaim) -> None:
        lease = Lease(worker.settings, worker.store, worker.stopping, beat=self._beat)
        folder = import_folder(worker.settings, claim.id, claim.epoch)
        super().__init__(worker, claim, lease, folder, Limits.for_import(worker.settings))
        self._progress, self._told, self._last_line = 0.0, 0.0, ""
        self._fetching = Fetching(
            worker.settings,
            worker.blobs,
            claim,
            lease,
            outbound=worker.outbound,
            pauses=worker.pauses,
            image_pauses=worker.image_pauses,
        )

    def work(self) -> Ending:
        claim, blobs = self.claim, self.worker.blobs
        try:
            refused = self._fetching.run(self.folder / "archive", self._listed)
        except (SourceUnavailable, DestinationRefused, BytesQuotaExceeded) as error:
            log.info("the archive is not fetched: %s", error.detail)
            return self._rejected(problems.of_error(error))
        result = refused or self._child(_options(self.worker.settings), _result_of)
        if result.question is not None:
            question = result.question
            return Ending("a question", lambda s: dataset_leases.ask_about_dataset(s, claim, question))
        report, key = result.report, prepared_key(claim.id, claim.epoch)
        if report is None:
            return self._rejected(problems.of_verdict(result))
        blobs.put_file(preview_key(key), self.folder / "out" / "preview.json")
        blobs.put_file(key, self.folder / "out" / "prepared.zip")
        return Ending("ready", lambda s: dataset_leases.accept_dataset(s, claim, key, report))

    def after_failure(self, error: Exception) -> Ending:
        if isinstance(error, WorkerStopping):
            return Ending("handed back", lambda s: dataset_leases.release_dataset(s, self.claim), requeue=True)
        if isinstance(error, Failed):
            return self._rejected(error.problem)
        if self._has_lost_files(error):
            log.warning("local files are gone", exc_info=error)
            return Ending("lost", lambda s: dataset_leases.record_lost_import(s, self.claim), requeue=True)
        log.error("the import failed", exc_info=error)
        return self._rejected(problems.of_failed_import(error))

    def clean_up(self) -> None:
        claim = self.claim
        written = import_keys(claim.id, claim.epoch)
        try:
            with self.worker.store.read() as session:
                drop_blobs(session, self.worker.blobs, written | {claim.upload_key})
        except STORE_AWAY:
            log.warning("the store is away, so the data set's blobs stay")
        except Exception:
            log.exception("a blob that is no longer needed is still there")

    def hear(self, line: str) -> None:
        """The last line is the verdict; those before it tell how far the import is."""
        if line:
            self._last_line, progress = line, _progress_of(line)
            if progress:
                self._progress = self._fetching.share + (1 - self._fetching.share) * progress

    def _beat(self) -> Heartbeat:
        progress = max(self._progress, self._fetching.progress)
        # by the time of its last change a row is known to have news, for streams and for who waits
        values = {"progress": progress} | ({} if progress == self._told else {"updated_at": utcnow()})
        with self.worker.store.write() as session:
            answer = dataset_leases.DATASETS.beat(session, self.claim, **values)
        self._told = progress
        return answer

    def _listed(self, arguments: Sequence[str]) -> ImportResult | Path:
        """The list of a table's addresses, or why there is none."""
        result = self._child(arguments, _listing_of)
        return self.folder / "out" / ADDRESSES_NAME if result.code is None else result

    def _child(self, arguments: Sequence[str], read: Callable[[str, Path], ImportResult | None]) -> ImportResult:
        """The child's verdict.

        Args:
            arguments: besides the archive, the folder for what comes of it, and what the owner says.
            read: makes a verdict of its last line and that folder.

        Raises:
            ChildProcessError: every try died without one.
        """
        out = self.folder / "out"
        for attempt in range(1, TRIES + 1):
            remove(out)
            self._last_line = ""
            said = f"--options={self.claim.options.model_dump_json(exclude_defaults=True)}"
            status, errors = self.run_child([str(self.folder / "archive"), str(out), *arguments, said])
            if status == 0 and (result := read(self._last_line, out)) is not None:
                return result
            log.warning("try %d died with status %d:\n%s", attempt, status, errors)
        raise ChildProcessError("the import died every time")

    def _has_lost_files(self, error: Exception) -> bool:
        if isinstance(error, ChildProcessError):  # a child without its archive cannot say what is wrong
            return not (self.folder / "archive").is_file()
        return lost_below([self.worker.settings.scratch], error)

    def _rejected(self, problem: Problem) -> Ending:
        return Ending("rejected", lambda s: dataset_leases.reject_dataset(s, self.claim, problem))


def _options(settings: Settings) -> list[str]:
    memory = [] if settings.child_memory_gb is None else [f"--memory-gb={settings.child_memory_gb}"]
    return [
        f"--max-images={settings.max_images}",
        f"--max-classes={settings.max_classes}",
        f"--max-unpacked-bytes={settings.max_unpacked_bytes}",
        f"--max-image-pixels={settings.max_image_pixels}",
        *memory,
    ]


def _progress_of(line: str) -> float | None:
    try:
        return min(1.0, max(0.0, float(json.loads(line)["progress"])))
    except (ValueError, TypeError, KeyError):
        return None


def _listing_of(line: str, out: Path) -> ImportResult | None:
    """Whether a table names images."""
    try:
        content = json.loads(line)
        if content.pop("type") != "result":
            return None
        result = ImportResult.model_validate(content)
    except (ValueError, AttributeError, KeyError):
        return None
    return result if result.code is not None or (out / ADDRESSES_NAME).is_file() else None


def _result_of(line: str, out: Path) -> ImportResult | None:
    """The verdict; a report or a question is a file, since it may be longer than any line."""
    try:
        content = json.loads(line)
        if content.pop("type") != "result":
            return None
        result = ImportResult.model_validate(content)
        if result.code is not None:
            return result
        question = out / "question.json"
        if question.is_file():
            return ImportResult(question=Understanding.model_validate_json(question.read_bytes()))
        return ImportResult(report=DatasetReport.model_validate_json((out / "report.json").read_bytes()))
    except (ValueError, AttributeError, KeyError, OSError):  # pydantic's own error is a ValueError
        return None
