"""What is owed to trackers, as workers see it: claim what is due, write down what became of it.

Any number of workers may do so at once. A claim counts `epoch` and puts the row off for a while, again and again while
its worker lives; what a lost worker has claimed comes due again by itself, and its late word matches no row.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.db.models import Job, Tracking, utcnow
from app.db.queries import datasets as dataset_queries
from app.db.queries import jobs as job_queries
from app.db.queries import trackings as queries
from app.domain.tracking import TrackedFile, TrackedJob, TrackingOutcome, TrackingState, TrackingTarget
from app.domain.webhooks import retry_after
from app.services import metrics

CLAIM = timedelta(seconds=120)
"""What a lost worker has claimed is taken up after this long. A worker that cannot put it off for half of that has to
stop: another one would write the same beside it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A claim: the right to log one job."""

    job_id: str
    target: TrackingTarget
    epoch: int


def claim(session: Session, now: datetime) -> Attempt | None:
    """What has been due for longest."""
    tracking = queries.next_due(session, now)
    if tracking is None:
        return None
    tracking.epoch += 1
    tracking.next_attempt_at = now + CLAIM
    session.flush()
    return Attempt(tracking.job_id, TrackingTarget(tracking.target), tracking.epoch)


def read_job(session: Session, attempt: Attempt, public_url: str | None) -> TrackedJob | None:
    """All that there is to tell; None if the job was deleted.

    Args:
        public_url: under which people reach the service, without a slash at its end.
    """
    job = session.get(Job, attempt.job_id)
    if job is None:
        return None
    assert job.track is not None and job.started_at is not None and job.finished_at is not None, "it is owed"
    dataset = dataset_queries.get_dataset(session, job.tenant, job.dataset_id)
    return TrackedJob(
        id=job.id,
        state=job.state,
        experiment=job.track[attempt.target]["experiment"],
        url=None if public_url is None else f"{public_url}/jobs/{job.id}",
        spec=job.spec,
        metadata=job.user_metadata,
        dataset_id=job.dataset_id,
        dataset_digest=None if dataset is None else dataset.digest,
        points=tuple(metrics.curves(session, job.tenant, job.id, stage=None, from_step=0)),
        metrics=job.metrics,
        evaluations=_evaluations(job),
        started_at=job.started_at,
        finished_at=job.finished_at,
        files=tuple(
            TrackedFile(name=file.name, bytes=file.bytes, sha256=file.sha256, key=file.storage_key)
            for file in job_queries.list_artifacts(session, job.id)
        ),
    )


def put_off(session: Session, attempt: Attempt, now: datetime) -> bool:
    """Its worker lives. False: the claim is over."""
    return queries.change(session, attempt.job_id, attempt.target, attempt.epoch, {"next_attempt_at": now + CLAIM})


def hand_back(session: Session, attempt: Attempt, now: datetime) -> None:
    """Its worker is to stop: another one takes it up at once, and this was no attempt."""
    queries.change(session, attempt.job_id, attempt.target, attempt.epoch, {"next_attempt_at": now})


def record(session: Session, attempt: Attempt, outcome: TrackingOutcome, now: datetime, jitter: float) -> None:
    """Write down what became of an attempt, and when there is another one.

    Args:
        jitter: 0..1, by how much of what is allowed the next one is put off further.
    """
    job = queries.lock_job(session, attempt.job_id)
    tracking = session.get(Tracking, (attempt.job_id, attempt.target))
    if job is None or tracking is None:
        return  # deleted
    tried = tracking.attempts + 1
    wait = None if outcome.error is None else retry_after(tried, jitter)
    values: dict[str, Any] = {"attempts": tried, "url": outcome.url, "error": outcome.error}
    if wait is not None:
        values |= {"next_attempt_at": now + wait}
    else:
        state = TrackingState.SUCCEEDED if outcome.error is None else TrackingState.FAILED
        values |= {"state": state, "next_attempt_at": None, "finished_at": now}
    if not queries.change(session, attempt.job_id, attempt.target, attempt.epoch, values):
        log.info("%s was claimed again meanwhile; the outcome of this attempt is dropped", attempt.job_id)
        return
    job.updated_at = utcnow()  # by which its ETag changes
    session.flush()


def _evaluations(job: Job) -> dict[str, dict[str, Any]]:
    if job.evaluation is None:
        return {}
    students = job.spec.get("students")
    if students is None:
        return {"": job.evaluation}
    return {name: job.evaluation[name] for name in students if name in job.evaluation}
