"""Queries about what is old: ended jobs, what they leave, and lines of the audit trail.

Ids sort by time, so whatever is older than a moment has an id below that moment's: the oldest rows are found from the
beginning of an index, and what was deleted before costs nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, delete, exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from app.db.ids import id_at
from app.db.models import Artifact, AuditEntry, Job, JobEvent, JobMetric, whole_sum
from app.domain.states import OPEN_JOB_STATES, TERMINAL_JOB_STATES

_REPEAT = aliased(Job)


@dataclass(frozen=True, slots=True)
class Amount:
    """How much it is."""

    count: int = 0
    bytes: int = 0
    """In the storage."""


def old_jobs(session: Session, before: datetime, limit: int | None) -> Sequence[str]:
    """Ids of jobs that ended before, oldest first."""
    return _ids(session, select(Job.id).where(*_is_old(before)), Job.id, limit)


def jobs_with_old_files(session: Session, before: datetime, limit: int | None) -> Sequence[str]:
    """Those of them that have files."""
    files = select(Artifact.job_id).join(Job, Job.id == Artifact.job_id)
    files = files.where(Artifact.job_id < id_at("job", before), *_is_old(before)).distinct()
    return _ids(session, files, Artifact.job_id, limit)


def jobs_with_old_events(session: Session, before: datetime, limit: int | None) -> Sequence[str]:
    """Those of them that have events; every such job has a first one."""
    first = select(JobEvent.job_id).join(Job, Job.id == JobEvent.job_id).where(JobEvent.seq == 1)
    first = first.where(JobEvent.job_id < id_at("job", before), *_has_ended(before))
    return _ids(session, first, JobEvent.job_id, limit)


def jobs_with_old_curves(session: Session, before: datetime, limit: int | None) -> Sequence[str]:
    """Those of them that have curves; every such job has a first piece."""
    first = select(JobMetric.job_id).join(Job, Job.id == JobMetric.job_id).where(JobMetric.seq == 1)
    first = first.where(JobMetric.job_id < id_at("job", before), *_has_ended(before))
    return _ids(session, first, JobMetric.job_id, limit)


def old_audit(session: Session, before: datetime, limit: int | None) -> Sequence[str]:
    """Ids of lines of the audit trail, oldest first."""
    lines = select(AuditEntry.id).where(AuditEntry.id < id_at("aud", before))
    return _ids(session, lines, AuditEntry.id, limit)


def lock_old_job(session: Session, job_id: str, before: datetime) -> Job | None:
    """Until the transaction ends nobody retries, repeats or deletes it. None if it is no longer old, or gone."""
    return session.scalar(select(Job).where(Job.id == job_id, *_is_old(before)).with_for_update(of=Job))


def files_of(session: Session, job_ids: Collection[str]) -> Amount:
    found = select(func.count(), whole_sum(Artifact.bytes)).where(Artifact.job_id.in_(job_ids))
    count, size = session.execute(found).one()
    return Amount(count, size)


def events_of(session: Session, job_ids: Collection[str]) -> Amount:
    return Amount(session.scalar(select(func.count()).where(JobEvent.job_id.in_(job_ids))) or 0)


def curves_of(session: Session, job_ids: Collection[str]) -> Amount:
    """In pieces of many points each."""
    return Amount(session.scalar(select(func.count()).where(JobMetric.job_id.in_(job_ids))) or 0)


def delete_files(session: Session, job_id: str) -> None:
    session.execute(delete(Artifact).where(Artifact.job_id == job_id))


def delete_events(session: Session, job_ids: Collection[str]) -> None:
    session.execute(delete(JobEvent).where(JobEvent.job_id.in_(job_ids)))


def delete_curves(session: Session, job_ids: Collection[str]) -> None:
    session.execute(delete(JobMetric).where(JobMetric.job_id.in_(job_ids)))


def delete_audit(session: Session, ids: Collection[str]) -> None:
    session.execute(delete(AuditEntry).where(AuditEntry.id.in_(ids)))


def _has_ended(before: datetime) -> tuple[ColumnElement[bool], ...]:
    return (Job.id < id_at("job", before), Job.state.in_(sorted(TERMINAL_JOB_STATES)), Job.finished_at < before)


def _is_old(before: datetime) -> tuple[ColumnElement[bool], ...]:
    """Ended long ago, and no job that repeats it has still to be compared with it."""
    repeated = exists().where(_REPEAT.rerun_of == Job.id, _REPEAT.state.in_(sorted(OPEN_JOB_STATES)))
    return (*_has_ended(before), ~repeated)


def _ids(session: Session, statement: Select[str], by: InstrumentedAttribute[str], limit: int | None) -> Sequence[str]:
    return session.scalars(statement.order_by(by).limit(limit)).all()
