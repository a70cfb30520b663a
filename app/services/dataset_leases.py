"""What an import worker may do to a data set that it has claimed, guarded as a job is (`claims.py`)."""

from dataclasses import dataclass, field

from sqlalchemy import insert, null
from sqlalchemy.orm import Session

from app.db.models import Dataset, DatasetClass
from app.db.queries.claims import Claim, Leases
from app.db.queries.datasets import claimable_imports, same_prepared
from app.db.queries.queue import DOWNLOADS, take_turn
from app.domain.access import Quotas
from app.domain.address_tables import TABLE
from app.domain.dataset import DatasetReport, ImportOptions, Split, Understanding
from app.domain.errors import ImportFailed
from app.domain.sources import shown_url
from app.domain.states import DatasetState
from app.services import quotas
from app.services.leases import MOST_ATTEMPTS
from app.services.states import move_dataset
from app.storage.keys import fetched_key

DATASETS = Leases(
    Dataset,
    waits=(Dataset.state == DatasetState.VALIDATING, Dataset.worker_id.is_(None)),
    # validating says that the import has not ended; a worker id, that the claim was not handed back
    is_held=(Dataset.state == DatasetState.VALIDATING, Dataset.worker_id.is_not(None)),
    stop_requested=null(),  # an import ends when its data set is deleted
)


@dataclass(frozen=True, slots=True)
class DatasetClaim(Claim):
    """A claimed import, with what its worker needs to begin."""

    upload_key: str
    """Storage key of the archive; of one that is still to be fetched, the key that it is to be stored under."""
    sha256: str
    """Of the archive, as it arrived."""
    options: ImportOptions = ImportOptions()  # noqa: RUF009 frozen
    """What its owner says about it."""
    source_url: str | None = field(default=None, repr=False)
    """Where the archive is to be fetched from first; it may hold secrets. None: it is stored."""
    name: str = ""
    """Of the data set."""

    @property
    def may_be_table(self) -> bool:
        """Whether what is stored may be a table of addresses, whose images are to be fetched."""
        return self.upload_key.endswith(TABLE)


def claim_next_dataset(session: Session, dataset_id: str, worker_id: str, most_downloads: int) -> DatasetClaim | None:
    """Claim the data set that is next (`app.domain.import_queue`): what is there already in the order of the messages,
    so this one if its archive is stored. None if none may be claimed.

    Args:
        most_downloads: that a tenant may have under way; 0: any number.
    """
    waiting = claimable_imports(session, most_downloads)
    if not waiting:
        return None
    chosen = next((one for one in waiting if one.id == dataset_id and not one.is_download), waiting[0])
    if chosen.is_download:
        take_turn(session, DOWNLOADS, chosen.tenant)
    return claim_dataset(session, chosen.id, worker_id)


def claim_dataset(session: Session, dataset_id: str, worker_id: str) -> DatasetClaim | None:
    """Claim a data set that waits for its import. None if it no longer waits, or another worker holds it."""
    dataset = DATASETS.claim(session, dataset_id, worker_id, progress=0.0)
    if dataset is None:
        return None
    options = ImportOptions.model_validate(dataset.options or {})
    if dataset.upload_key is None:
        assert dataset.source_url is not None, "an archive is kept until the import has ended, or still to be fetched"
        key = fetched_key(dataset_id, dataset.epoch)
        return DatasetClaim(dataset_id, dataset.epoch, key, "", options, dataset.source_url, dataset.name)
    return DatasetClaim(dataset_id, dataset.epoch, dataset.upload_key, dataset.sha256, options, name=dataset.name)


def reserve_bytes(session: Session, defaults: Quotas, claim: Claim, size: int) -> bool:
    """Count an archive that is being fetched towards its tenant's quota. False: the claim is over.

    Raises:
        BytesQuotaExceeded: there is no room for it.
    """
    known = session.get(Dataset, claim.id)
    if known is None:
        return False
    # the tenant's row before the data set's, as elsewhere
    quotas.require_bytes(session, defaults, known.tenant, size - known.bytes)
    dataset = DATASETS.held(session, claim)
    if dataset is None:
        return False
    dataset.bytes = size
    session.flush()
    return True


def keep_fetched(session: Session, defaults: Quotas, claim: Claim, key: str, size: int, sha256: str) -> bool:
    """Note that the archive has come and is stored under `key`; or that one was made of what a table names, in place of
    the table. False: the claim is over.

    Raises:
        BytesQuotaExceeded: as `reserve_bytes`.
    """
    if not reserve_bytes(session, defaults, claim, size):
        return False
    dataset = session.get_one(Dataset, claim.id)
    dataset.upload_key, dataset.sha256 = key, sha256
    dataset.source_url = None if dataset.source_url is None else shown_url(dataset.source_url)
    session.flush()
    return True


def accept_dataset(session: Session, claim: Claim, prepared_key: str, report: DatasetReport) -> bool:
    """End the import as ready. The archive's key is dropped, and so is `prepared_key` where the same archive has given
    the same before; the caller deletes the bytes that no row names after the commit."""
    dataset = DATASETS.held(session, claim)
    if dataset is None:
        return False
    dataset.digest, dataset.upload_key = report.digest, None
    dataset.prepared_key = same_prepared(session, dataset) or prepared_key
    dataset.layout = None if report.layout is None else report.layout.model_dump(mode="json")
    listed = report.listed().model_dump(mode="json")
    dataset.summary = {"images": report.images, "class_count": listed["class_count"], "counts": listed["totals"]}
    dataset.report, dataset.progress = listed, 1.0
    if report.classes:
        session.execute(insert(DatasetClass), _class_rows(claim.id, report))
    move_dataset(session, dataset, DatasetState.READY)
    return True


def ask_about_dataset(session: Session, claim: Claim, question: Understanding) -> bool:
    """End the import with a question to the owner. The archive is kept: the answer needs no second upload."""
    dataset = DATASETS.held(session, claim)
    if dataset is None:
        return False
    dataset.layout = question.model_dump(mode="json")
    move_dataset(session, dataset, DatasetState.NEEDS_ANSWER)
    return True


def _class_rows(dataset_id: str, report: DatasetReport) -> list[dict[str, object]]:
    train, val, test = (report.counts.get(split, {}) for split in (Split.TRAIN, Split.VAL, Split.TEST))
    return [
        {
            "dataset_id": dataset_id,
            "number": number,
            "name": name,
            "train": train.get(name, 0),
            "val": val.get(name, 0),
            "test": test.get(name, 0),
        }
        for number, name in enumerate(report.classes)
    ]


def reject_dataset(session: Session, claim: Claim, error: dict[str, object]) -> bool:
    """End the import as rejected. `error` has the fields of a problem: `code`, `title`, `detail`, `hint`."""
    dataset = DATASETS.held(session, claim)
    if dataset is None:
        return False
    dataset.error, dataset.upload_key = error, None
    move_dataset(session, dataset, DatasetState.REJECTED)
    return True


def release_dataset(session: Session, claim: Claim) -> bool:
    """Let another worker claim the data set."""
    dataset = DATASETS.held(session, claim)
    if dataset is None:
        return False
    dataset.worker_id = None
    session.flush()
    return True


def record_lost_import(session: Session, claim: Claim) -> bool:
    """Hand the data set back after an attempt that its worker's host has spoilt."""
    dataset = DATASETS.held(session, claim)
    if dataset is None:
        return False
    give_back_lost_import(session, dataset)
    return True


def give_back_lost_import(session: Session, dataset: Dataset) -> None:
    """Let another worker claim the data set, unless it has been lost too often; then it is rejected."""
    dataset.worker_id = None
    lost_attempts = dataset.epoch - dataset.answered_epoch
    if lost_attempts >= MOST_ATTEMPTS:
        lost = ImportFailed(
            f"{lost_attempts} workers in a row were lost while they checked the archive.",
            hint="Upload it again once the workers are well; their logs have the cause.",
        )
        dataset.error, dataset.upload_key = lost.as_problem(), None
        move_dataset(session, dataset, DatasetState.REJECTED)
    session.flush()
