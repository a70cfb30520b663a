"""Take claims back from holders that give no sign of life. Nobody's wall clock is involved.

Any number of watchers may work at once: a claim is taken back only if its counter still stands where the watcher saw
it, so the first one does it and the others find nothing.
"""

from collections.abc import Iterable

from sqlalchemy.orm import Session

from app.db.models import Dataset, Job
from app.db.queries.jobs import Held
from app.domain.states import DatasetState, JobState
from app.services.dataset_leases import DATASETS, give_back_lost_import
from app.services.leases import JOBS, give_back_lost


class Watch:
    """Since when each heartbeat counter has stood still, by the watcher's own monotonic time."""

    def __init__(self) -> None:
        self._since: dict[Held, float] = {}

    def seconds_still(self, held: Iterable[Held], now: float) -> dict[Held, float]:
        """Seconds for which each of the claims has not moved, as far as this watcher has seen.

        A claim seen for the first time has just moved, so a watcher that was away for long takes nobody for dead.
        """
        self._since = {one: self._since.get(one, now) for one in held}
        return {one: now - since for one, since in self._since.items()}


def reap_job(session: Session, held: Held) -> JobState | None:
    """Take a job from a holder that is taken for dead. Returns its new state; None if there was a sign of life."""
    job = JOBS.held(session, held, Job.hb_seq == held.hb_seq)
    if job is None:
        return None
    give_back_lost(session, job)
    return JobState(job.state)


def reap_dataset(session: Session, held: Held) -> DatasetState | None:
    """Take an import from a holder that is taken for dead; an archive that was fatal several times is rejected, and
    the caller deletes its bytes after the commit."""
    dataset = DATASETS.held(session, held, Dataset.hb_seq == held.hb_seq)
    if dataset is None:
        return None
    give_back_lost_import(session, dataset)
    return DatasetState(dataset.state)
