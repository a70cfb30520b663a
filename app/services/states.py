"""Change the state of a job or data set; every change passes here, which checks the table of transitions and writes the
event."""

from typing import Any, cast

from sqlalchemy import Table, insert
from sqlalchemy.orm import Session

from app.db.models import Dataset, Job, JobEvent, utcnow
from app.db.queries import jobs as queries
from app.db.queries import statistics
from app.domain.errors import StateConflict
from app.domain.sources import shown_url
from app.domain.states import DATASET_TRANSITIONS, JOB_TRANSITIONS, TERMINAL_JOB_STATES, DatasetState, JobState
from app.services import outbox, trackings

STATE_EVENT = "state"
"""The kind of an event by which a job has entered a state."""
FIRST_EVENT = 1
"""The number of a job's first event, which tells who submitted it."""
# into the table: half the price of an object that nobody asks for again
_INSERT_EVENT = insert(cast(Table, JobEvent.__table__))


def move_job(session: Session, job: Job, to: JobState, reason: str, message: str = "") -> None:
    """Bring `job` into state `to` and note it in the job's events under the code `reason`.

    The row is locked and read again first, so that the check holds against every other writer.

    Raises:
        StateConflict: if the table does not allow it.
    """
    session.flush()  # refresh() would drop what the caller has set
    session.refresh(job, with_for_update=True)
    before = JobState(job.state)
    if to not in JOB_TRANSITIONS[before]:
        raise StateConflict(f"The job is {before} and cannot become {to}.")
    now = utcnow()
    job.state = to
    if to is JobState.RUNNING:
        job.started_at = job.started_at or now
        statistics.add(session, statistics.ATTEMPTS)
    else:
        job.worker_id, job.expected_end, job.stop_requested, job.preview_wanted = None, None, None, None
    if to in {JobState.QUEUED, JobState.PAUSED}:
        job.stage = None
    if to in TERMINAL_JOB_STATES:
        job.finished_at = now
        statistics.add(session, statistics.JOBS_FINISHED, to.value)
        trackings.owe(session, job)
    data = {"from": before.value, "to": to.value}
    add_event(session, job, STATE_EVENT, reason, message or f"{before} → {to}", data=data)


def move_dataset(session: Session, dataset: Dataset, to: DatasetState) -> None:
    """Bring `dataset` into state `to`; locked and checked like a job. A data set keeps no events; webhooks are told.

    Raises:
        StateConflict: if the table does not allow it.
    """
    session.flush()
    session.refresh(dataset, with_for_update=True)
    before = DatasetState(dataset.state)
    if to not in DATASET_TRANSITIONS[before]:
        raise StateConflict(f"The data set is {before} and cannot become {to}.")
    dataset.state = to
    dataset.worker_id = None
    if dataset.source_url is not None:  # what is secret in it is not needed any more
        dataset.source_url = shown_url(dataset.source_url)
    session.flush()
    outbox.tell_dataset(session, dataset)


def add_event(
    session: Session,
    job: Job,
    kind: str,
    code: str,
    message: str,
    *,
    data: dict[str, Any] | None = None,
    seq: int | None = None,
) -> None:
    """Append to the job's events, and to the outbox of the webhooks where it has entered a state. The caller holds the
    job's row, so the numbers have no gaps; a caller that knows the number passes it as `seq`."""
    if seq is None:
        last = queries.last_event(session, job.id)
        seq = FIRST_EVENT if last is None else last + 1
    session.flush()
    row = {
        "job_id": job.id,
        "seq": seq,
        "epoch": job.epoch,
        "kind": kind,
        "code": code,
        "message": message.replace("\x00", ""),  # Postgres stores no NUL
        "data": data or {},
    }
    session.execute(_INSERT_EVENT, row)
    if kind == STATE_EVENT:
        outbox.tell_job(session, job, reason=code, seq=seq)
