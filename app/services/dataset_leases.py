"""What an import worker holds of a data set; the same fencing by attempt epoch as for jobs (`leases.py`)."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, update
from sqlalchemy.orm import Session

from app.db.models import Dataset, utcnow
from app.db.upload_queries import same_prepared
from app.domain.dataset import DatasetReport
from app.domain.states import DatasetState
from app.services.leases import Claim, Heartbeat
from app.services.states import move_dataset


@dataclass(frozen=True, slots=True)
class DatasetClaim(Claim):
    """A claimed import, with what its worker needs to begin."""

    upload_key: str
    """Storage key of the archive as it was sent."""


def claim_dataset(session: Session, dataset_id: str, worker_id: str) -> DatasetClaim | None:
    """Take a data set that waits for its import. None if it does not wait any more, or another worker holds it."""
    row = session.execute(
        update(Dataset)
        .where(Dataset.id == dataset_id, Dataset.state == DatasetState.VALIDATING, Dataset.worker_id.is_(None))
        .values(epoch=Dataset.epoch + 1, hb_seq=0, progress=0.0, worker_id=worker_id, updated_at=utcnow())
        .returning(Dataset.epoch, Dataset.upload_key)
    ).first()
    if row is None:
        return None
    assert row.upload_key is not None, "the archive is kept until the import has ended"
    return DatasetClaim(dataset_id, row.epoch, row.upload_key)


def beat_dataset(session: Session, claim: Claim, progress: float = 0.0) -> Heartbeat:
    """Raise the heartbeat counter, tell how far the import is, and learn whether the claim still stands (a deleted data
    set ends it)."""
    row = session.execute(
        update(Dataset)
        .where(*_is_held(claim))
        .values(hb_seq=Dataset.hb_seq + 1, progress=progress, updated_at=Dataset.updated_at)
        .returning(Dataset.id)
    ).first()
    return Heartbeat(alive=row is not None)


def accept_dataset(session: Session, claim: Claim, prepared_key: str, report: DatasetReport) -> bool:
    """End the import as ready. The archive's key is dropped, and so is `prepared_key` where the same archive has given
    the same before; the caller deletes the bytes that no row names after the commit."""
    dataset = _held(session, claim)
    if dataset is None:
        return False
    dataset.digest, dataset.upload_key = report.digest, None
    dataset.prepared_key = same_prepared(session, dataset) or prepared_key
    dataset.report, dataset.progress = report.model_dump(mode="json"), 1.0
    move_dataset(session, dataset, DatasetState.READY)
    return True


def reject_dataset(session: Session, claim: Claim, error: dict[str, object]) -> bool:
    """End the import as rejected. `error` has the fields of a problem: `code`, `title`, `detail`, `hint`."""
    dataset = _held(session, claim)
    if dataset is None:
        return False
    dataset.error, dataset.upload_key = error, None
    move_dataset(session, dataset, DatasetState.REJECTED)
    return True


def release_dataset(session: Session, claim: Claim) -> bool:
    """Let another worker claim the data set."""
    dataset = _held(session, claim)
    if dataset is None:
        return False
    dataset.worker_id = None
    session.flush()
    return True


def _held(session: Session, claim: Claim) -> Dataset | None:
    row = session.execute(
        update(Dataset).where(*_is_held(claim)).values(updated_at=utcnow()).returning(Dataset.id)
    ).first()
    return None if row is None else session.get_one(Dataset, claim.id, populate_existing=True)


def _is_held(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    # validating says that the import has not ended; a worker id, that the claim was not handed back
    return (
        Dataset.id == claim.id,
        Dataset.epoch == claim.epoch,
        Dataset.state == DatasetState.VALIDATING,
        Dataset.worker_id.is_not(None),
    )
