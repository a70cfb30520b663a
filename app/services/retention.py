"""Delete what is older than the operator wants to keep: jobs, their files, events and curves, and audit lines.

The reconciler deletes a batch at a time, `tdmr prune` all at once; both by these rules. What has not ended is never
touched, nor what a job that has not ended still needs: the files of a job that is being repeated, a checkpoint that a
retry goes on from.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.db.engine import Store
from app.db.models import Job, utcnow
from app.db.queries import retention as queries
from app.db.queries.retention import Amount
from app.domain.access import Caller
from app.services import audit, job_actions
from app.services.datasets import storage_error
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.keys import attempt_prefix, previews_prefix

BATCH = 50
"""Objects that are deleted before anything else gets its turn."""
ACTOR = "retention"
"""In the audit trail, for what was deleted by age."""
_COUNTED = 500
"""Objects whose rows are counted by one statement."""

Find = Callable[[Session, datetime, int | None], Sequence[str]]
Measure = Callable[[Session, Collection[str]], Amount]
Remove = Callable[[Store, Blobs, Sequence[str], datetime], None]


@dataclass(frozen=True)
class Rule:
    """One kind of thing that is kept for some days."""

    what: str
    setting: str
    """The field of `Settings` that says for how many; 0: for good."""
    find: Find
    """Ids of what is too old, the oldest first."""
    measure: Measure
    """Of those ids."""
    remove: Remove

    def before(self, settings: Settings) -> datetime | None:
        """What is older than this goes; None if all is kept."""
        days: float = getattr(settings, self.setting)
        return utcnow() - timedelta(days=days) if days else None


def find_old(store: Store, rule: Rule, before: datetime, limit: int | None = None) -> Sequence[str]:
    """Ids of the objects by whose age the rule goes, the oldest first: jobs, or lines of the audit trail."""
    with store.read() as session:
        return rule.find(session, before, limit)


def prune(
    store: Store, blobs: Blobs, rule: Rule, before: datetime, ids: Sequence[str], *, dry_run: bool = False
) -> Amount:
    """Delete what `find_old` has found, and say how much that was.

    Args:
        dry_run: delete nothing, and count.

    Raises:
        StoreUnavailable: if the storage is away; what was deleted before stays deleted.
    """
    count = size = 0
    step = _COUNTED if dry_run else BATCH
    for start in range(0, len(ids), step):
        some = ids[start : start + step]
        with store.read() as session:
            amount = rule.measure(session, some)
        if not dry_run:
            rule.remove(store, blobs, some, before)
        count, size = count + amount.count, size + amount.bytes
    return Amount(count, size)


def _remove_jobs(store: Store, blobs: Blobs, job_ids: Sequence[str], before: datetime) -> None:
    for job_id in job_ids:
        with store.write() as session:
            job = queries.lock_old_job(session, job_id, before)
            if job is not None:
                job_actions.erase(session, blobs, job)
                audit.record(session, Caller(job.tenant, ACTOR), "delete_job", job_id)


def _remove_files(store: Store, blobs: Blobs, job_ids: Sequence[str], before: datetime) -> None:
    for job_id in job_ids:
        with store.write() as session:
            job = queries.lock_old_job(session, job_id, before)
            if job is not None:
                _delete_files(session, blobs, job)
                audit.record(session, Caller(job.tenant, ACTOR), "delete_job_files", job_id)


def _delete_files(session: Session, blobs: Blobs, job: Job) -> None:
    """Bytes go first, as when a job is deleted: what fails in between is done again."""
    try:
        blobs.delete_prefix(previews_prefix(job.id))
        for epoch in range(1, job.epoch + 1):
            blobs.delete_prefix(attempt_prefix(job.id, epoch))
    except OSError as error:
        raise storage_error(error) from error
    queries.delete_files(session, job.id)
    job.files_deleted_at = utcnow()
    session.flush()


def _remove_events(store: Store, _blobs: Blobs, job_ids: Sequence[str], _before: datetime) -> None:
    with store.write() as session:
        queries.delete_events(session, job_ids)


def _remove_curves(store: Store, _blobs: Blobs, job_ids: Sequence[str], _before: datetime) -> None:
    with store.write() as session:
        queries.delete_curves(session, job_ids)


def _remove_audit(store: Store, _blobs: Blobs, ids: Sequence[str], _before: datetime) -> None:
    with store.write() as session:
        queries.delete_audit(session, ids)


def _measure_jobs(session: Session, job_ids: Collection[str]) -> Amount:
    return Amount(len(job_ids), queries.files_of(session, job_ids).bytes)


WHOLE_JOBS = Rule("jobs", "keep_job_days", queries.old_jobs, _measure_jobs, _remove_jobs)
RULES = (
    WHOLE_JOBS,
    Rule("files", "keep_file_days", queries.jobs_with_old_files, queries.files_of, _remove_files),
    Rule("events", "keep_event_days", queries.jobs_with_old_events, queries.events_of, _remove_events),
    Rule("curves", "keep_curve_days", queries.jobs_with_old_curves, queries.curves_of, _remove_curves),
    Rule("audit lines", "keep_audit_days", queries.old_audit, lambda _, ids: Amount(len(ids)), _remove_audit),
)
"""Jobs first: what goes with a whole job is not looked at again."""
