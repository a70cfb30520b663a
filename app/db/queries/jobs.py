"""Queries about jobs: their order, their claims, and what they leave."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, cast, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, defer

from app.db.ids import is_id
from app.db.models import Artifact, Job, JobEvent, JobMetric, JobPreview, whole_sum
from app.db.queries.page import Page, page_of
from app.domain.states import TERMINAL_JOB_STATES, JobState, Stage

# What nearly every request sends is built once: building a statement takes as long as sending it.
_OF_TENANT = (Job.id == bindparam("id"), Job.tenant == bindparam("tenant"))
_JOB = select(Job).where(*_OF_TENANT).options(defer(Job.evaluation))
_STAMP = select(Job.id, Job.state, Job.epoch, Job.updated_at).where(*_OF_TENANT)
_STAMPS = select(Job.id, Job.state, Job.epoch, Job.updated_at).where(Job.id.in_(bindparam("ids", expanding=True)))
_EVENTS = (
    select(JobEvent)
    .where(JobEvent.job_id == bindparam("id"), JobEvent.seq > bindparam("after"))
    .order_by(JobEvent.seq)
    .limit(bindparam("limit"))
)
_LAST_EVENT = select(func.max(JobEvent.seq)).where(JobEvent.job_id == bindparam("id"))


class Stamp(NamedTuple):
    """What tells one version of a job or data set from another: a change that users see sets `updated_at`."""

    id: str
    state: str
    epoch: int
    updated_at: datetime


def get_job(session: Session, tenant: str, job_id: str) -> Job | None:
    """Its evaluation, which may be long, is read when it is asked for."""
    if not is_id(job_id, "job"):
        return None
    return session.scalar(_JOB, {"id": job_id, "tenant": tenant})


def get_stamp(session: Session, tenant: str, job_id: str) -> Stamp | None:
    if not is_id(job_id, "job"):
        return None
    row = session.execute(_STAMP, {"id": job_id, "tenant": tenant}).first()
    return None if row is None else Stamp(*row)


def stamps(session: Session, job_ids: Sequence[str]) -> list[Stamp]:
    """Of those that exist, whosever they are."""
    rows = session.execute(_STAMPS, {"ids": job_ids})
    return [Stamp(*row) for row in rows]


def list_jobs(
    session: Session,
    tenant: str,
    *,
    after: str | None,
    limit: int,
    states: Sequence[JobState] = (),
    metadata: Mapping[str, str] | None = None,
) -> Page[Job]:
    """Jobs in any of `states` (none given: all) that carry all pairs of `metadata`."""
    statement = select(Job).where(Job.tenant == tenant).order_by(Job.id.desc()).options(defer(Job.evaluation))
    if after is not None:
        statement = statement.where(Job.id < after)
    if states:
        statement = statement.where(Job.state.in_(states))
    for key, value in (metadata or {}).items():
        statement = statement.where(_has_pair(session, key, value))
    return page_of(session, statement, limit)


def list_on_dataset(session: Session, tenant: str, dataset_id: str, limit: int) -> Sequence[Job]:
    """Newest first."""
    on_it = select(Job).where(Job.dataset_id == dataset_id, Job.tenant == tenant).options(defer(Job.evaluation))
    return session.scalars(on_it.order_by(Job.id.desc()).limit(limit)).all()


def count_jobs(session: Session, tenant: str) -> dict[JobState, int]:
    """A tenant's jobs by state; a state without any is left out."""
    rows = session.execute(select(Job.state, func.count()).where(Job.tenant == tenant).group_by(Job.state))
    return {JobState(state): count for state, count in rows}


class Held(NamedTuple):
    """A claim as the store sees it. Another value of any of the three is a sign of life."""

    id: str
    epoch: int
    hb_seq: int


def specs_that_succeeded(session: Session, dataset_id: str, limit: int) -> Sequence[dict[str, Any]]:
    """The specs of the youngest jobs on a data set that have succeeded."""
    of_dataset = (Job.dataset_id == dataset_id, Job.state == JobState.SUCCEEDED)
    return session.scalars(select(Job.spec).where(*of_dataset).order_by(Job.id.desc()).limit(limit)).all()


def held_jobs(session: Session) -> list[Held]:
    """Of all running jobs."""
    rows = session.execute(select(Job.id, Job.epoch, Job.hb_seq).where(Job.state == JobState.RUNNING))
    return [Held(*row) for row in rows]


def kept_checkpoints(session: Session, failed_before: datetime) -> Sequence[Job]:
    """Ended jobs whose checkpoint nobody will ask for: of a failed one, which can be retried, until it is old."""
    too_old = and_(Job.state == JobState.FAILED, Job.finished_at < failed_before)
    needless = or_(Job.state.in_((JobState.SUCCEEDED, JobState.CANCELLED)), too_old)
    return session.scalars(select(Job).where(Job.checkpoint_key.is_not(None), needless)).all()


def is_kept_checkpoint(session: Session, key: str) -> bool:
    """Whether a job may yet go on from it."""
    return bool(session.scalar(select(exists().where(Job.checkpoint_key == key))))


def forget_checkpoint(session: Session, job_id: str, key: str) -> None:
    """Unless the job has another one meanwhile."""
    of_job = (Job.id == job_id, Job.checkpoint_key == key)
    session.execute(update(Job).where(*of_job).values(checkpoint_key=None, updated_at=Job.updated_at))


def get_preview(session: Session, job_id: str, student: str, name: str) -> JobPreview | None:
    return session.get(JobPreview, (job_id, student, name), populate_existing=True)


def list_previews(session: Session, job_id: str) -> Sequence[JobPreview]:
    return session.scalars(select(JobPreview).where(JobPreview.job_id == job_id)).all()


def leftover_previews(session: Session) -> Sequence[JobPreview]:
    """Of jobs that have ended."""
    ended = select(JobPreview).join(Job, Job.id == JobPreview.job_id)
    return session.scalars(ended.where(Job.state.in_(sorted(TERMINAL_JOB_STATES)))).all()


def delete_preview(session: Session, preview: JobPreview) -> None:
    """Unless it has been replaced meanwhile."""
    same = (JobPreview.job_id == preview.job_id, JobPreview.storage_key == preview.storage_key)
    session.execute(delete(JobPreview).where(*same))


def want_preview(session: Session, job_id: str, student: str) -> None:
    """Ask the worker for an ONNX file. To the user nothing of the job has changed."""
    is_running = (Job.id == job_id, Job.state == JobState.RUNNING)
    session.execute(update(Job).where(*is_running).values(preview_wanted=student, updated_at=Job.updated_at))


def list_events(session: Session, job_id: str, *, after: int, limit: int) -> Page[JobEvent]:
    """Oldest first, those behind number `after`."""
    rows = session.scalars(_EVENTS, {"id": job_id, "after": after, "limit": limit + 1}).all()
    return Page(rows[:limit], has_more=len(rows) > limit)


def last_event(session: Session, job_id: str) -> int | None:
    """The number of the job's latest event."""
    return session.scalar(_LAST_EVENT, {"id": job_id})


def list_metrics(session: Session, job_id: str, *, stage: Stage | None, from_step: int) -> Sequence[JobMetric]:
    """The pieces of the curves in the order they were written."""
    statement = select(JobMetric).where(JobMetric.job_id == job_id, JobMetric.last_step >= from_step)
    if stage is not None:
        statement = statement.where(JobMetric.stage == stage)
    return session.scalars(statement.order_by(JobMetric.seq)).all()


def list_metrics_after(session: Session, job_id: str, *, after: int, limit: int) -> Page[JobMetric]:
    """The pieces of the curves behind number `after`, in the order they were written."""
    statement = select(JobMetric).where(JobMetric.job_id == job_id, JobMetric.seq > after).order_by(JobMetric.seq)
    return page_of(session, statement, limit)


def last_metric(session: Session, job_id: str) -> int:
    """The number of the job's latest piece of the curves; 0 before the first."""
    return session.scalar(select(func.max(JobMetric.seq)).where(JobMetric.job_id == job_id)) or 0


def list_artifacts(session: Session, job_id: str) -> Sequence[Artifact]:
    return session.scalars(select(Artifact).where(Artifact.job_id == job_id).order_by(Artifact.name)).all()


def artifact_bytes(session: Session, tenant: str) -> int:
    """Of all published files of a tenant's jobs."""
    files = select(whole_sum(Artifact.bytes)).join(Job, Job.id == Artifact.job_id)
    return session.scalar(files.where(Job.tenant == tenant)) or 0


def get_artifact(session: Session, job_id: str, name: str) -> Artifact | None:
    return session.scalar(select(Artifact).where(Artifact.job_id == job_id, Artifact.name == name))


def newest_file_about(session: Session, dataset_id: str, name: str) -> Artifact | None:
    """The published file called `name` of the youngest job on the data set that has one."""
    return session.scalars(
        select(Artifact)
        .join(Job, Job.id == Artifact.job_id)
        .where(Job.dataset_id == dataset_id, Artifact.name == name)
        .order_by(Job.id.desc())
        .limit(1)
    ).first()


def _has_pair(session: Session, key: str, value: str) -> ColumnElement[bool]:
    if session.get_bind().dialect.name == "postgresql":
        return cast(Job.user_metadata, JSONB).contains({key: value})
    # json_each and no JSON path: a path cannot hold every key
    pairs = func.json_each(Job.user_metadata).table_valued("key", "value")
    return exists(select(1).select_from(pairs).where(pairs.c.key == key, pairs.c.value == value))
