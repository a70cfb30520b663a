"""What a worker may do to a job that it has claimed: note progress, and make the one write that ends the claim.

Every write is guarded by the claim's attempt epoch (`claims.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.db.models import Artifact, Dataset, Job, JobEvent, JobMetric
from app.db.queries import jobs as queries
from app.db.queries import statistics
from app.db.queries.claims import Claim, Leases
from app.db.queries.queue import take_turn
from app.domain.errors import InvalidSpec, WorkerLostRepeatedly
from app.domain.manifest import ArtifactFile
from app.domain.previews import PreviewMark
from app.domain.progress import EventLine, MetricLine
from app.domain.reproduction import Reproduction
from app.domain.spec import JobSpec
from app.domain.states import JobState, Stage, StopRequest
from app.services import previews
from app.services.states import FIRST_EVENT, add_event, move_job
from app.storage.keys import artifact_key
from app.storage.published import StoredFile


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
    rerun_of: str | None = None
    """The ended job that this one repeats."""
    request_id: str | None = None
    """Of the request that submitted the job, for log lines."""


JOBS = Leases(
    Job,
    waits=(Job.state == JobState.QUEUED,),
    is_held=(Job.state == JobState.RUNNING,),
    stop_requested=Job.stop_requested,
    preview_wanted=Job.preview_wanted,
)
MOST_ATTEMPTS = 3
"""A job that is lost this often without progress fails; it would take worker after worker with it."""


def claim_job(session: Session, job_id: str, worker_id: str) -> JobClaim | None:
    """Claim a queued job. None if it is no longer queued, which is how duplicate messages end.

    A spec that this version cannot read (the job was made by another one) fails here: at the head of the queue it would
    hold up all others.
    """
    job = JOBS.claim(session, job_id, worker_id, attempts=Job.attempts + 1)
    if job is None:
        return None
    dataset = session.get_one(Dataset, job.dataset_id)
    assert dataset.prepared_key is not None, "a job is accepted on a ready data set, which active jobs keep"
    move_job(session, job, JobState.RUNNING, "claimed", f"A worker has started attempt {job.epoch}.")
    try:
        spec = read_spec(job)
    except InvalidSpec as unreadable:
        fail_job(session, Claim(job.id, job.epoch), unreadable.as_problem())
        return None
    # no two claims get one number: the total of attempts, raised above, is locked until the commit
    take_turn(session, job.priority, job.tenant)
    return JobClaim(
        job.id,
        job.epoch,
        spec,
        dataset.prepared_key,
        job.attempts,
        job.checkpoint_key,
        job.checkpoint_epoch,
        job.rerun_of,
        _submitted_by(session, job.id),
    )


def read_spec(job: Job) -> JobSpec:
    """
    Raises:
        InvalidSpec: if another version has made the job, and this one cannot read it.
    """
    try:
        return JobSpec.read(job.spec)
    except ValidationError as error:
        raise InvalidSpec(
            "This version of the service cannot read the job's spec; another version made it.",
            hint="Create the job again with POST /v1/jobs.",
        ) from error


def record(
    session: Session,
    claim: Claim,
    *,
    stage: Stage | None = None,
    progress: float | None = None,
    eta_seconds: float | None = None,
    points: Sequence[MetricLine] = (),
    events: Iterable[EventLine] = (),
) -> bool:
    """Record the progress of the job. False: the claim is over and nothing was written.

    `points` extend the curves and become the latest metrics, of stage 1 until stage 2 begins.
    `eta_seconds` comes with `progress`; None then says that it is unknown.
    """
    job = JOBS.held(session, claim)
    if job is None:
        return False
    if stage is not None and stage != job.stage:
        job.stage = stage
        add_event(session, job, "stage", stage.value, f"Stage {stage.value} has begun.")
        if stage is Stage.DISTILL:  # stage 1 has names in common with it: its accuracy would pass for the student's
            job.metrics = {}
    if progress is not None and progress > job.progress:
        job.progress, job.attempts = progress, 0
    if progress is not None:
        job.expected_end = None if eta_seconds is None else job.read_at + timedelta(seconds=eta_seconds)
    latest = {name: value for point in points for name, value in point.values.items()}
    if latest:
        job.metrics = {**job.metrics, **latest}
    _add_points(session, job, points)
    for event in events:
        add_event(session, job, event.level, event.code, event.message)
        message = event.message.replace("\x00", "")  # Postgres stores none
        if event.level == "warning" and message not in job.warnings:  # another attempt may have said it
            job.warnings = [*job.warnings, message]
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
    reproduces: Reproduction | None = None,
) -> bool:
    """End the job as succeeded and make its files visible; they lie under `artifact_key(id, epoch, name)` already.

    `seconds` by part of the work are added to the totals; `choice` is the manifest's; `reproduces` is for a rerun.
    """
    job = JOBS.held(session, claim)
    if job is None:
        return False
    session.add_all(
        Artifact(job_id=job.id, storage_key=artifact_key(job.id, claim.epoch, file.name), **file.model_dump())
        for file in artifacts
    )
    job.evaluation, job.metrics, job.progress = evaluation, {**job.metrics, **metrics}, 1.0
    job.choice = choice
    job.reproduces = None if reproduces is None else reproduces.model_dump(mode="json")
    move_job(session, job, JobState.SUCCEEDED, "succeeded")
    for part, spent in sorted((seconds or {}).items()):
        if "/" in part:  # of one student, and within its stage: a series for each architecture would say nothing
            continue
        statistics.add(session, statistics.STAGE_SECONDS, part, spent)
    return True


def fail_job(session: Session, claim: Claim, error: dict[str, Any]) -> bool:
    """End the job as failed. `error` has the fields of a problem: `code`, `title`, `detail`, `hint`."""
    job = JOBS.held(session, claim)
    if job is None:
        return False
    job.error = error
    move_job(session, job, JobState.FAILED, str(error.get("code", "failed")), str(error.get("detail", "")))
    return True


def keep_checkpoint(session: Session, claim: Claim, key: str) -> bool:
    """Record that the storage holds a checkpoint of this attempt, for the next one to continue from."""
    job = JOBS.held(session, claim)
    if job is None:
        return False
    job.checkpoint_key, job.checkpoint_epoch = key, claim.epoch
    session.flush()
    return True


def release_job(session: Session, claim: Claim, reason: str) -> bool:
    """Hand the job back after its child has stopped: to its user, if asked for, otherwise to the queue."""
    job = JOBS.held(session, claim)
    if job is None:
        return False
    job.attempts = max(0, job.attempts - 1)  # nothing was lost
    give_back(session, job, reason)
    return True


def keep_preview(session: Session, claim: Claim, mark: PreviewMark, name: str, file: StoredFile) -> str | None:
    """Record that the storage holds a student of the moment. Returns the key of the one before, which nothing names any
    more; if the claim is over, that of the new one."""
    job = JOBS.held(session, claim)
    return file.key if job is None else previews.replace(session, job, mark, name, file)


def drop_preview_wish(session: Session, claim: Claim) -> bool:
    """Nobody need wait for an ONNX file that cannot be made."""
    job = JOBS.held(session, claim)
    if job is None:
        return False
    job.preview_wanted = None
    session.flush()
    return True


def record_lost_attempt(session: Session, claim: Claim, how: str) -> bool:
    """Hand the job back after an attempt that ended without a last word; an event tells `how` it ended."""
    job = JOBS.held(session, claim)
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
        previews.keep_if_asked(session, job)
    elif job.stop_requested == StopRequest.PAUSE:
        move_job(session, job, JobState.PAUSED, "paused", "Its worker is free; resume it to go on from here.")
    else:
        move_job(session, job, JobState.QUEUED, reason)


def _submitted_by(session: Session, job_id: str) -> str | None:
    submitted = session.get(JobEvent, (job_id, FIRST_EVENT))
    return None if submitted is None else submitted.data.get("request_id")


def _add_points(session: Session, job: Job, points: Sequence[MetricLine]) -> None:
    last = queries.last_metric(session, job.id)
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
