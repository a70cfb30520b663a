"""Queries about the service as a whole, and totals over all time: every process tells the same, and a restart forgets
nothing."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db.engine import insert
from app.db.models import Dataset, Job, Total
from app.domain.progress import IMAGES_PER_SECOND
from app.domain.states import TERMINAL_JOB_STATES, DatasetState, JobState, Stage

ATTEMPTS = "attempts"
"""Claims of jobs."""
JOBS_FINISHED = "jobs_finished"
"""Jobs that have ended, by state."""
STAGE_SECONDS = "stage_seconds"
"""Seconds that succeeded jobs spent, by part of the work (decode, teacher, …)."""


def add(session: Session, name: str, label: str = "", value: float = 1.0) -> None:
    """Raise a total. Its row stays locked until the transaction ends: call it late, in the order of the names."""
    row = insert(session, Total).values(name=name, label=label, value=value)
    session.execute(row.on_conflict_do_update(index_elements=["name", "label"], set_={"value": Total.value + value}))


def totals(session: Session) -> dict[tuple[str, str], float]:
    """By name and label."""
    return {(row.name, row.label): row.value for row in session.scalars(select(Total))}


def count_open_jobs(session: Session) -> dict[JobState, int]:
    """Jobs that have not ended, by state; of the ended ones there are too many to count."""
    is_open = Job.state.in_(sorted(set(JobState) - TERMINAL_JOB_STATES))
    rows = session.execute(select(Job.state, func.count()).where(is_open).group_by(Job.state))
    return {JobState(state): count for state, count in rows}


def count_datasets(session: Session) -> dict[DatasetState, int]:
    rows = session.execute(select(Dataset.state, func.count()).group_by(Dataset.state))
    return {DatasetState(state): count for state, count in rows}


def oldest_queued(session: Session) -> datetime | None:
    """When the first of the queued jobs was created."""
    return session.scalar(select(func.min(Job.created_at)).where(Job.state == JobState.QUEUED))


def images_per_second(session: Session) -> float:
    """What the jobs that train a student said last, together."""
    training = (Job.state == JobState.RUNNING, Job.stage == Stage.DISTILL)
    return session.scalar(select(func.sum(Job.metrics[IMAGES_PER_SECOND].as_float())).where(*training)) or 0.0
