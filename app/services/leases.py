"""What a worker holds of a job: claim, heartbeat, progress, and the one write that ends it.

Every write names the attempt epoch of its claim and the state it expects. No row hit means that the claim is over
(another worker holds the job, or it has ended): the caller is a zombie and must stop. Nobody's clock is involved.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from app.db.models import Artifact, Dataset, Job, JobEvent, JobMetric, QueueTurn, utcnow
from app.db.upsert import insert
from app.domain.errors import InvalidSpec, WorkerLostRepeatedly
from app.domain.manifest import ArtifactFile
from app.domain.progress import EventLine, MetricLine
from app.domain.spec import JobSpec
from app.domain.states import JobState, Stage, StopRequest
from app.services import totals
from app.services.states import FIRST_EVENT, add_event, move_job
from app.storage.keys import artifact_key


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write to one object, until someone else claims it."""

    id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class JobClaim(Claim):
    """A claimed job, with what its worker needs to begin."""

    spec: JobSpec
    prepared_key: str
    """Storage key of the prepared data set."""
    attempts: int
    """Claims since the last progress, this one included."""
    checkpoint_key: str | None = None
    """Storage key of the newest checkpoint that was taken off a worker."""
    checkpoint_epoch: int = 0
    """The attempt that wrote it."""
    request_id: str | None = None
    """Of the request that submitted the job, for log lines."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The store's answer to a sign of life."""

    alive: bool
    """False: the claim is over; kill the child and leave."""
    stop_requested: StopRequest | None = None


MOST_ATTEMPTS = 3
"""A job that is lost so often without any progress would take worker after worker with it."""


def claim_job(session: Session, job_id: str, worker_id: str) -> JobClaim | None:
    """Take a queued job. None if it is not queued any more, which is how doubled messages end.

    A spec that this version cannot read (the job was made by another one) fails here: at the head of the queue it would
    hold up all others.
    """
    taken = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state == JobState.QUEUED)
        .values(epoch=Job.epoch + 1, attempts=Job.attempts + 1, hb_seq=0, worker_id=worker_id, updated_at=utcnow())
        .returning(Job.id)
    ).first()
    if taken is None:
        return None
    job = session.get_one(Job, job_id, populate_existing=True)
    dataset = session.get_one(Dataset, job.dataset_id)
    assert dataset.prepared_key is not None, "a job is accepted on a ready data set, which active jobs keep"
    move_job(session, job, JobState.RUNNING, "claimed", f"A worker has started attempt {job.epoch}.")
    try:
        spec = read_spec(job)
    except InvalidSpec as unreadable:
        fail_job(session, Claim(job.id, job.epoch), unreadable.as_problem())
        return None
    _take_turn(session, job)
    return JobClaim(
        job.id,
        job.epoch,
        spec,
        dataset.prepared_key,
        job.attempts,
        job.checkpoint_key,
        job.checkpoint_epoch,
        _submitted_by(session, job.id),
    )


def read_spec(job: Job) -> JobSpec:
    """
    Raises:
        InvalidSpec: if another version has made the job, and this one cannot read it.
    """
    try:
        return JobSpec.model_validate(job.spec)
    except ValidationError as error:
        raise InvalidSpec(
            "This version of the service cannot read the job's spec; another version made it.",
            hint="Create the job again with POST /v1/jobs.",
        ) from error


def beat(session: Session, claim: Claim) -> Heartbeat:
    """Raise the job's heartbeat counter, and learn whether the claim still stands and whether to stop."""
    row = session.execute(
        update(Job)
        .where(*_is_held(claim))
        .values(hb_seq=Job.hb_seq + 1, updated_at=Job.updated_at)  # a sign of life is no news to the user
        .returning(Job.stop_requested)
    ).first()
    return Heartbeat(alive=False) if row is None else Heartbeat(alive=True, stop_requested=row.stop_requested)


def record(
    session: Session,
    claim: Claim,
    *,
    stage: Stage | None = None,
    progress: float | None = None,
    eta_seconds: float | None = None,
    metrics: Mapping[str, float] | None = None,
    points: Sequence[MetricLine] = (),
    events: Iterable[EventLine] = (),
) -> bool:
    """Note how the job goes. False: the claim is over and nothing was written.

    `points` extend the curves and become the latest metrics; `metrics` are latest values that belong to no curve.
    """
    job = _held(session, claim)
    if job is None:
        return False
    if stage is not None and stage != job.stage:
        job.stage = stage
        add_event(session, job, "stage", stage.value, f"Stage {stage.value} has begun.")
    if progress is not None and progress > job.progress:
        job.progress, job.attempts = progress, 0
    if eta_seconds is not None:
        job.eta_seconds = eta_seconds
    latest = {name: value for point in points for name, value in point.values.items()}
    if latest or metrics:
        job.metrics = {**job.metrics, **latest, **(metrics or {})}
    _add_points(session, job, points)
    for event in events:
        add_event(session, job, event.level, event.code, event.message)
    session.flush()
    return True


def finish_job(
    session: Session,
    claim: Claim,
    artifacts: Iterable[ArtifactFile],
    evaluation: dict[str, Any] | None,
    metrics: Mapping[str, float],
    seconds: Mapping[str, float] | None = None,
    choice: dict[str, Any] | None = None,
) -> bool:
    """End the job as succeeded and make its files visible; they lie under `artifact_key(id, epoch, name)` already.

    `seconds` by part of the work are added to the totals; `choice` is the manifest's.
    """
    job = _held(session, claim)
    if job is None:
        return False
    session.add_all(
        Artifact(job_id=job.id, storage_key=artifact_key(job.id, claim.epoch, file.name), **file.model_dump())
        for file in artifacts
    )
    job.evaluation, job.metrics, job.progress = evaluation, {**job.metrics, **metrics}, 1.0
    job.choice = choice
    move_job(session, job, JobState.SUCCEEDED, "succeeded")
    for part, spent in sorted((seconds or {}).items()):
        totals.add(session, totals.STAGE_SECONDS, part, spent)
    return True


def fail_job(session: Session, claim: Claim, error: dict[str, Any]) -> bool:
    """End the job as failed. `error` has the fields of a problem: `code`, `title`, `detail`, `hint`."""
    job = _held(session, claim)
    if job is None:
        return False
    job.error = error
    move_job(session, job, JobState.FAILED, str(error.get("code", "failed")), str(error.get("detail", "")))
    return True


def keep_checkpoint(session: Session, claim: Claim, key: str) -> bool:
    """Note that a checkpoint of this attempt lies in the storage, for whoever goes on with the job."""
    job = _held(session, claim)
    if job is None:
        return False
    job.checkpoint_key, job.checkpoint_epoch = key, claim.epoch
    session.flush()
    return True


def release_job(session: Session, claim: Claim, reason: str) -> bool:
    """Hand the job back, its child having stopped: to its user, if that was asked for, else to the queue."""
    job = _held(session, claim)
    if job is None:
        return False
    job.attempts = max(0, job.attempts - 1)  # nothing was lost
    give_back(session, job, reason)
    return True


def lose_job(session: Session, claim: Claim, how: str) -> bool:
    """Hand the job back after an attempt that ended without a word; `how` it ended is told in an event."""
    job = _held(session, claim)
    if job is None:
        return False
    add_event(session, job, "warning", "attempt_lost", how)
    give_back_lost(session, job)
    return True


def give_back_lost(session: Session, job: Job) -> None:
    """To the queue again, unless it has been lost too often without progress; then it fails."""
    if job.attempts < MOST_ATTEMPTS or job.stop_requested is not None:
        give_back(session, job, "worker_lost")
        return
    lost = WorkerLostRepeatedly(
        f"{job.attempts} attempts in a row ended without a word and without progress.",
        hint="The job may need more memory than its workers have; their logs have the cause. "
        "Choose a smaller batch size or teacher, or retry the job once the workers are well.",
    )
    job.error = lost.as_problem()
    move_job(session, job, JobState.FAILED, lost.code, lost.detail)


def give_back(session: Session, job: Job, reason: str) -> None:
    """From running to where its user wants it: cancelled, paused, or else queued, for `reason`."""
    if job.stop_requested == StopRequest.CANCEL:
        move_job(session, job, JobState.CANCELLED, "cancelled")
    elif job.stop_requested == StopRequest.PAUSE:
        move_job(session, job, JobState.PAUSED, "paused", "Its worker is free; resume it to go on from here.")
    else:
        move_job(session, job, JobState.QUEUED, reason)


def _held(session: Session, claim: Claim) -> Job | None:
    """The claimed job with its row locked by a guarded write, or None if the claim is over."""
    row = session.execute(update(Job).where(*_is_held(claim)).values(updated_at=utcnow()).returning(Job.id)).first()
    return None if row is None else session.get_one(Job, claim.id, populate_existing=True)


def _is_held(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    return (Job.id == claim.id, Job.epoch == claim.epoch, Job.state == JobState.RUNNING)


def _submitted_by(session: Session, job_id: str) -> str | None:
    submitted = session.get(JobEvent, (job_id, FIRST_EVENT))
    return None if submitted is None else submitted.data.get("request_id")


def _add_points(session: Session, job: Job, points: Sequence[MetricLine]) -> None:
    last = session.scalar(select(func.max(JobMetric.seq)).where(JobMetric.job_id == job.id)) or 0
    for seq, (stage, run) in enumerate(groupby(points, key=lambda point: point.stage), start=last + 1):
        lines = list(run)
        session.add(
            JobMetric(
                job_id=job.id,
                seq=seq,
                epoch=job.epoch,
                stage=stage,
                first_step=lines[0].step,
                last_step=lines[-1].step,
                points=[{"step": line.step, "values": line.values} for line in lines],
            )
        )


def _take_turn(session: Session, job: Job) -> None:
    """Put the job's tenant behind all others in the rounds of its priority."""
    # no two claims get one number: the total of attempts, raised above, is locked until the commit
    turn = (session.scalar(select(func.max(QueueTurn.turn))) or 0) + 1
    row = insert(session, QueueTurn).values(priority=job.priority, tenant=job.tenant, turn=turn)
    session.execute(row.on_conflict_do_update(index_elements=["priority", "tenant"], set_={"turn": turn}))
