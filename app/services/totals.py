"""What is counted over all time, in the store: every process tells the same, and a restart forgets nothing."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.models import Total
from app.db.upsert import insert

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


def read(session: Session) -> dict[tuple[str, str], float]:
    """By name and label."""
    return {(row.name, row.label): row.value for row in session.scalars(select(Total))}
