"""What a user does to a job that there is."""

from sqlalchemy.orm import Session

from app.db.models import Job
from app.db.queries import jobs as queries
from app.domain.access import Caller, Quotas
from app.domain.errors import StateConflict
from app.domain.spec import Reporting
from app.domain.states import TERMINAL_JOB_STATES, JobState, StopRequest
from app.services import audit, catalog, jobs, previews, quotas
from app.services.datasets import storage_error
from app.services.leases import read_spec
from app.services.states import add_event, move_job
from app.storage.blobs import Blobs
from app.storage.keys import attempt_prefix, checkpoint_key, previews_prefix


def cancel(session: Session, caller: Caller, job_id: str, *, keep_preview: bool = False) -> Job:
    """End a waiting job at once; ask the worker of a running one to stop it. Asking twice is asking once.

    Args:
        keep_preview: the previews that there are become its files.

    Raises:
        StateConflict: if it has ended.
    """
    job = jobs.locked(session, caller.tenant, job_id)
    _refuse_if_ended(job)
    job.keep_preview = job.keep_preview or keep_preview
    if job.state == JobState.RUNNING:
        _ask_worker(session, job, StopRequest.CANCEL)
    else:
        move_job(session, job, JobState.CANCELLED, "cancelled", "Cancelled while no worker had it.")
        previews.keep_if_asked(session, job)
    audit.record(session, caller, "cancel_job", job.id)
    return job


def pause(session: Session, caller: Caller, job_id: str) -> Job:
    """Take a waiting job out of the queue; ask the worker of a running one to save and free it. Twice is once.

    Raises:
        StateConflict: if it has ended or is being cancelled.
    """
    job = jobs.locked(session, caller.tenant, job_id)
    _refuse_if_ended(job)
    if job.stop_requested == StopRequest.CANCEL:
        raise StateConflict("The job is being cancelled.")
    if job.state == JobState.RUNNING:
        _ask_worker(session, job, StopRequest.PAUSE)
    elif job.state == JobState.QUEUED:
        move_job(session, job, JobState.PAUSED, "paused", "Taken out of the queue.")
    audit.record(session, caller, "pause_job", job.id)
    return job


def resume(session: Session, defaults: Quotas, caller: Caller, job_id: str) -> Job:
    """Queue a paused job again, in its old place; it goes on from its checkpoint. Where the worker was only asked to
    pause it, it need not.

    Raises:
        StateConflict: if it is neither paused nor about to be.
        QueueQuotaExceeded: as `submit`.
    """
    job = jobs.locked(session, caller.tenant, job_id)
    if job.state == JobState.PAUSED:
        quotas.require_place_in_queue(session, defaults, caller.tenant)
        move_job(session, job, JobState.QUEUED, "resumed", "The job waits for a worker.")
    elif job.stop_requested == StopRequest.PAUSE:
        job.stop_requested = None
        add_event(session, job, "info", "pause_withdrawn", "The job will continue.")
    else:
        raise StateConflict(f"The job is {JobState(job.state)}, not paused.")
    audit.record(session, caller, "resume_job", job.id)
    return job


def retry(session: Session, defaults: Quotas, caller: Caller, job_id: str) -> Job:
    """A new job with the spec of one that failed or was cancelled; it goes on from that one's checkpoint, if any is
    kept. An ended job itself never changes.

    Raises:
        StateConflict: if it has not ended, or has succeeded.
        InvalidSpec: if another version has made it.
        QueueQuotaExceeded: as `submit`.
        NotFound, DatasetNotReady, UnknownTeacher, UnknownStudent, ModelRefused, CatalogEmpty: if it could not run any
            more.
    """
    catalog.learn_methods(session)
    ended = jobs.locked(session, caller.tenant, job_id)
    if ended.state not in {JobState.FAILED, JobState.CANCELLED}:
        hint = "Wait until it has ended, or cancel it." if ended.state != JobState.SUCCEEDED else None
        raise StateConflict(f"Only a failed or cancelled job can be retried; this one is {ended.state}.", hint=hint)
    job = jobs.queue(session, defaults, caller.tenant, read_spec(ended), _reporting(ended))
    job.retry_of, job.checkpoint_key = ended.id, ended.checkpoint_key
    if ended.checkpoint_key is not None:  # one heir: two jobs on one checkpoint would each delete it
        queries.forget_checkpoint(session, ended.id, ended.checkpoint_key)
    add_event(session, job, "info", "retry", f"Retries {ended.id}.", data={"retry_of": ended.id})
    audit.record(session, caller, "retry_job", job.id)
    return job


def rerun(session: Session, defaults: Quotas, caller: Caller, job_id: str) -> Job:
    """A new job with the spec of an ended one, from the start on the same data. It says how like its result is.

    Raises:
        StateConflict: if it has not ended.
        InvalidSpec, QueueQuotaExceeded, NotFound, DatasetNotReady, UnknownTeacher, UnknownStudent, ModelRefused,
            CatalogEmpty: as `retry`.
    """
    catalog.learn_methods(session)
    ended = jobs.locked(session, caller.tenant, job_id)
    if ended.state not in TERMINAL_JOB_STATES:
        raise StateConflict(
            f"Only a job that has ended can be run again; this one is {JobState(ended.state)}.",
            hint="Wait until it has ended, or cancel it.",
        )
    job = jobs.queue(session, defaults, caller.tenant, read_spec(ended), _reporting(ended))
    job.rerun_of = ended.id
    add_event(session, job, "info", "rerun", f"Repeats {ended.id}.", data={"rerun_of": ended.id})
    audit.record(session, caller, "rerun_job", job.id)
    return job


def delete(session: Session, blobs: Blobs, caller: Caller, job_id: str) -> None:
    """Remove a job with its events, curves and files. Bytes go first: a failure in between can be repaired by deleting
    again, while forgotten bytes of a forgotten row could not.

    Raises:
        StateConflict: while a worker has it.
        StoreUnavailable, DiskFull: if the storage does not delete the files; nothing is lost then.
    """
    job = jobs.locked(session, caller.tenant, job_id)
    if job.state == JobState.RUNNING:
        raise StateConflict("The job is running.", hint="Cancel it, wait until it has ended, then delete it.")
    erase(session, blobs, job)
    audit.record(session, caller, "delete_job", job_id)


def erase(session: Session, blobs: Blobs, job: Job) -> None:
    """As `delete`, of a locked job that no worker has.

    Raises:
        StoreUnavailable, DiskFull: as there.
    """
    inherited = job.checkpoint_key
    job.checkpoint_key = None
    session.flush()
    try:
        if inherited is not None and not queries.is_kept_checkpoint(session, inherited):
            blobs.delete(inherited)
        blobs.delete_prefix(previews_prefix(job.id))
        for epoch in range(1, job.epoch + 1):
            blobs.delete_prefix(attempt_prefix(job.id, epoch))
            checkpoint = checkpoint_key(job.id, epoch)
            if not queries.is_kept_checkpoint(session, checkpoint):  # a job that retries this one may go on from it
                blobs.delete(checkpoint)
    except OSError as error:
        raise storage_error(error) from error
    session.delete(job)
    session.flush()


def _reporting(job: Job) -> Reporting:
    return Reporting(job.webhook_url, job.track)


def _refuse_if_ended(job: Job) -> None:
    if job.state in TERMINAL_JOB_STATES:
        raise StateConflict(f"The job has already ended: it is {JobState(job.state)}.")


def _ask_worker(session: Session, job: Job, request: StopRequest) -> None:
    if job.stop_requested != request:
        job.stop_requested = request
        add_event(session, job, "info", f"{request}_requested", "The worker was asked to stop.")
