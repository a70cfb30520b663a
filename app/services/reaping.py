"""What becomes of a claim whose holder gives no sign of life. Nobody's wall clock is involved.

Any number of watchers may look at once: a claim is taken back only if its counter still stands where the watcher saw
it, so the first one does it and the others find nothing.
"""

from collections.abc import Iterable
from typing import TypeVar

from sqlalchemy import ColumnElement, update
from sqlalchemy.orm import Session

from app.db.models import Dataset, Job, utcnow
from app.db.queries import Held
from app.domain.errors import ImportFailed
from app.domain.states import DatasetState, JobState
from app.services.leases import MOST_ATTEMPTS, give_back_lost
from app.services.states import move_dataset

Row = TypeVar("Row", Job, Dataset)


class Watch:
    """Since when each heartbeat counter has stood still, by the watcher's own monotonic time."""

    def __init__(self) -> None:
        self._since: dict[Held, float] = {}

    def look(self, held: Iterable[Held], now: float) -> dict[Held, float]:
        """Seconds for which each of the claims has not moved, as far as this watcher has seen.

        A claim seen for the first time has just moved, so a watcher that was away for long takes nobody for dead.
        """
        self._since = {one: self._since.get(one, now) for one in held}
        return {one: now - since for one, since in self._since.items()}


def reap_job(session: Session, held: Held) -> JobState | None:
    """Take a job from a holder that is taken for dead. Returns its new state; None if there was a sign of life."""
    job = _taken(session, Job, held, Job.state == JobState.RUNNING)
    if job is None:
        return None
    give_back_lost(session, job)
    return JobState(job.state)


def reap_dataset(session: Session, held: Held) -> DatasetState | None:
    """Take an import from a holder that is taken for dead; an archive that was fatal several times is rejected, and
    the caller deletes its bytes after the commit."""
    is_held = (Dataset.state == DatasetState.VALIDATING, Dataset.worker_id.is_not(None))
    dataset = _taken(session, Dataset, held, *is_held)
    if dataset is None:
        return None
    dataset.worker_id = None
    if dataset.epoch >= MOST_ATTEMPTS:
        lost = ImportFailed(
            f"{dataset.epoch} workers in a row were lost while they checked the archive.",
            hint="Upload it again once the workers are well; their logs have the cause.",
        )
        dataset.error, dataset.upload_key = lost.as_problem(), None
        move_dataset(session, dataset, DatasetState.REJECTED)
    session.flush()
    return DatasetState(dataset.state)


def _taken(session: Session, table: type[Row], held: Held, *is_held: ColumnElement[bool]) -> Row | None:
    """The row, locked by a guarded write, or None if the claim has moved since."""
    unmoved = (table.id == held.id, table.epoch == held.epoch, table.hb_seq == held.hb_seq, *is_held)
    row = session.execute(update(table).where(*unmoved).values(updated_at=utcnow()).returning(table.id)).first()
    return None if row is None else session.get_one(table, held.id, populate_existing=True)
