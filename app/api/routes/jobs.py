"""Jobs: create, list, inspect, cancel, pause, resume, retry."""

import hashlib
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Body, Depends, Header, Query, Request, Response
from sqlalchemy.orm import Session

from app import queue
from app.api.deps import AppBlobs, AppNotifier, AppSettings, AppStore, CurrentCaller, ReadSession, WriteSession
from app.api.examples import NEW_JOBS
from app.api.live.waiting import Wait, wait_until
from app.api.openapi import ETAG, LOCATION, REPLAYED, problems
from app.api.params import METADATA_PARAMETER_DOCS, AfterJob, IdempotencyKey, Limit, MetadataFilter, expect_json
from app.api.preconditions import matches
from app.api.schemas.common import ListPage, as_json
from app.api.schemas.jobs import JobCancel, JobRead
from app.db.models import Job
from app.db.queries.jobs import Stamp
from app.domain.access import Caller, Quotas
from app.domain.errors import (
    CatalogEmpty,
    DatasetNotReady,
    DestinationRefused,
    IdempotencyKeyInFlight,
    IdempotencyKeyReused,
    InvalidSpec,
    JobTooLong,
    MalformedRequest,
    ModelRefused,
    NotFound,
    QueueQuotaExceeded,
    StateConflict,
    TooLarge,
    TrackingNotConfigured,
    UnknownStudent,
    UnknownTeacher,
    UnsupportedMediaType,
)
from app.domain.fair_queue import QueuePosition
from app.domain.spec import JobCreate
from app.domain.states import TERMINAL_JOB_STATES, JobState
from app.services import job_actions, jobs, timing, trackings, webhooks
from app.services.catalog import learn_methods
from app.settings import Settings

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

IfNoneMatch = Annotated[str | None, Header(description="The ETag of the previous answer.")]
VERSION = version("tdmr")
"""Another one may show a job otherwise."""


def know_methods(session: WriteSession) -> None:
    """Runs before the body is read, which may name a method that a worker has just announced."""
    learn_methods(session)


@router.post(
    "",
    operation_id="create_job",
    summary="Create a job",
    status_code=202,
    response_model=JobRead,
    dependencies=[Depends(expect_json)],
    responses={
        202: {"headers": LOCATION | REPLAYED},
        **problems(
            MalformedRequest,
            NotFound,
            DatasetNotReady,
            IdempotencyKeyInFlight,
            TooLarge,
            UnsupportedMediaType,
            DestinationRefused,
            InvalidSpec,
            UnknownTeacher,
            UnknownStudent,
            ModelRefused,
            JobTooLong,
            IdempotencyKeyReused,
            QueueQuotaExceeded,
            TrackingNotConfigured,
            CatalogEmpty,
        ),
    },
)
def create_job(
    wanted: Annotated[JobCreate, Body(openapi_examples=NEW_JOBS)],
    caller: CurrentCaller,
    session: WriteSession,
    _methods: Annotated[None, Depends(know_methods)],
    settings: AppSettings,
    notifier: AppNotifier,
    response: Response,
    background: BackgroundTasks,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Queues a training job. Only data set, teacher and student are required; every other field has a default. Use
    `students` instead of `student` to train several from one reprogrammed teacher."""
    if wanted.webhook_url is not None:
        webhooks.require_allowed(settings.destinations, wanted.webhook_url, "webhook_url")
    trackings.require_server(settings.tracking_server, wanted.track)
    submission = jobs.submit(session, settings.quotas, caller, wanted.spec(), idempotency_key, wanted.reporting())
    response.headers["Location"] = f"/v1/jobs/{submission.job.id}"
    if submission.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    background.add_task(notifier.notify, queue.TRAIN_TASK, submission.job.id)
    return as_json(_read(session, settings, submission.job), 202, response.headers)


@router.get(
    "",
    operation_id="list_jobs",
    summary="List jobs",
    response_model=ListPage[JobRead],
    openapi_extra=METADATA_PARAMETER_DOCS,
)
def list_jobs(
    caller: CurrentCaller,
    session: ReadSession,
    settings: AppSettings,
    metadata: MetadataFilter,
    state: Annotated[list[JobState], Query(description="Only jobs in any of these states.")] = [],  # noqa: B006
    after: AfterJob = None,
    limit: Limit = 20,
) -> Response:
    """Newest first."""
    page = jobs.page(session, caller.tenant, after=after, limit=limit, states=state, metadata=metadata)
    places = jobs.queue_positions(session, settings.quotas, page.items)
    ids = [job.id for job in page.items]
    starts = timing.estimated_starts(session, settings.quotas, places, settings.lease_seconds)
    tracked = trackings.of_jobs(session, page.items)
    shown = (JobRead.from_row(job, places, starts, tracked) for job in page.items)
    return as_json(ListPage[JobRead].from_items(shown, ids, has_more=page.has_more))


async def wait_for_change(
    request: Request,
    job_id: str,
    caller: CurrentCaller,
    settings: AppSettings,
    store: AppStore,
    wait: Wait = None,
    if_none_match: IfNoneMatch = None,
) -> None:
    """Runs before the route opens its session, so that a request that waits holds none."""
    known = if_none_match

    def is_news() -> bool:
        nonlocal known
        with store.read() as session:
            stamp = jobs.stamp(session, caller.tenant, job_id)
            etag = _etag(stamp, jobs.queue_positions(session, settings.quotas, [stamp]))
        known = known or etag
        return stamp.state in TERMINAL_JOB_STATES or not matches(known, etag)

    if wait:
        await wait_until(is_news, request, job_id, wait)


@router.get(
    "/{job_id}",
    operation_id="get_job",
    summary="Get a job",
    response_model=JobRead,
    responses={
        200: {"headers": ETAG},
        304: {"description": "Unchanged since the ETag in If-None-Match.", "headers": ETAG},
        **problems(NotFound),
    },
)
def get_job(
    job_id: str,
    caller: CurrentCaller,
    _waited: Annotated[None, Depends(wait_for_change)],
    session: ReadSession,
    settings: AppSettings,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """State, stage, progress and the latest metrics. To poll cheaply, send the ETag in If-None-Match: an unchanged job
    gives 304; the clock alone, by which `eta_seconds` falls, changes nothing. With `?wait=30` the answer comes as soon
    as the job has changed."""
    headers = {"Cache-Control": "private, no-cache"}
    if if_none_match is not None:
        stamp = jobs.stamp(session, caller.tenant, job_id)
        headers["ETag"] = _etag(stamp, jobs.queue_positions(session, settings.quotas, [stamp]))
        if matches(if_none_match, headers["ETag"]):
            return Response(status_code=304, headers=headers)
    job = jobs.find(session, caller.tenant, job_id)
    places = jobs.queue_positions(session, settings.quotas, [job])
    headers["ETag"] = _etag(job, places)
    starts = timing.estimated_starts(session, settings.quotas, places, settings.lease_seconds)
    return as_json(JobRead.from_row(job, places, starts, trackings.of_jobs(session, [job])), headers=headers)


_ACTION: dict[str, Any] = {
    "status_code": 202,
    "response_model": JobRead,
    "responses": {202: {"headers": LOCATION}, **problems(NotFound, StateConflict)},
}


_CANCEL = _ACTION | {
    "responses": {202: {"headers": LOCATION}, **problems(MalformedRequest, NotFound, StateConflict, TooLarge)}
}


_AGAIN = _ACTION | {
    "responses": {
        202: {"headers": LOCATION},
        **problems(NotFound, StateConflict, DatasetNotReady, InvalidSpec, JobTooLong),
    }
}


@router.post("/{job_id}/cancel", operation_id="cancel_job", summary="Cancel a job", **_CANCEL)
def cancel_job(
    job_id: str,
    caller: CurrentCaller,
    session: WriteSession,
    settings: AppSettings,
    response: Response,
    body: JobCancel | None = None,
) -> JobRead:
    """A queued or paused job is cancelled at once, a running one within seconds. 409 if it has ended. With
    `{"keep_preview": true}` the previews of its students become its files."""
    keep = body is not None and body.keep_preview
    return _answer(session, settings, job_actions.cancel(session, caller, job_id, keep_preview=keep), response)


@router.post("/{job_id}/pause", operation_id="pause_job", summary="Pause a job", **_ACTION)
def pause_job(
    job_id: str, caller: CurrentCaller, session: WriteSession, settings: AppSettings, response: Response
) -> JobRead:
    """A queued job leaves the queue. The worker of a running job writes a checkpoint within seconds and takes other
    work. 409 if the job has ended."""
    return _answer(session, settings, job_actions.pause(session, caller, job_id), response)


class _Enqueuing:
    """Puts a job into the queue, and answers with it."""

    def __init__(
        self,
        caller: CurrentCaller,
        session: WriteSession,
        settings: AppSettings,
        notifier: AppNotifier,
        response: Response,
        background: BackgroundTasks,
    ) -> None:
        self._caller, self._session, self._settings = caller, session, settings
        self._notifier, self._response, self._background = notifier, response, background

    def answer(self, action: Callable[[Session, Quotas, Caller, str], Job], job_id: str) -> JobRead:
        job = action(self._session, self._settings.quotas, self._caller, job_id)
        self._background.add_task(self._notifier.notify, queue.TRAIN_TASK, job.id)
        return _answer(self._session, self._settings, job, self._response)


Enqueuing = Annotated[_Enqueuing, Depends()]


@router.post("/{job_id}/resume", operation_id="resume_job", summary="Resume a paused job", **_ACTION)
def resume_job(job_id: str, enqueuing: Enqueuing) -> JobRead:
    """Returns the job to its old position in the queue; any worker continues from its checkpoint. 409 if it is not
    paused."""
    return enqueuing.answer(job_actions.resume, job_id)


@router.post("/{job_id}/retry", operation_id="retry_job", summary="Retry a failed or cancelled job", **_AGAIN)
def retry_job(job_id: str, enqueuing: Enqueuing) -> JobRead:
    """Creates a new job with the same spec, which continues from the old job's checkpoint if there is one. `Location`
    is the new job. 409 if the old job has not ended, or has succeeded."""
    return enqueuing.answer(job_actions.retry, job_id)


@router.post("/{job_id}/rerun", operation_id="rerun_job", summary="Run an ended job again", **_AGAIN)
def rerun_job(job_id: str, enqueuing: Enqueuing) -> JobRead:
    """Creates a new job with the same spec and data, from the start. Once it has succeeded, `reproduces` says whether
    its students are the same, bit by bit, and by how much the accuracy differs. `Location` is the new job. 409 if the
    job has not ended."""
    return enqueuing.answer(job_actions.rerun, job_id)


@router.delete(
    "/{job_id}",
    operation_id="delete_job",
    summary="Delete a job",
    status_code=204,
    responses=problems(NotFound, StateConflict),
)
def delete_job(job_id: str, caller: CurrentCaller, session: WriteSession, blobs: AppBlobs) -> None:
    """Deletes the job with its events, curves and files. 409 while it runs; a queued or paused job is given up."""
    job_actions.delete(session, blobs, caller, job_id)


def _answer(session: Session, settings: Settings, job: Job, response: Response) -> JobRead:
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return _read(session, settings, job)


def _read(session: Session, settings: Settings, job: Job) -> JobRead:
    places = jobs.queue_positions(session, settings.quotas, [job])
    starts = timing.estimated_starts(session, settings.quotas, places, settings.lease_seconds)
    return JobRead.from_row(job, places, starts, trackings.of_jobs(session, [job]))


def _etag(job: Job | Stamp, places: Mapping[str, QueuePosition]) -> str:
    """Without the body, so that most polls cost little: what it shows of a job changes with `updated_at`, and its place
    in the queue with other jobs."""
    shown = (VERSION, job.id, str(job.state), job.epoch, job.updated_at.isoformat(), places.get(job.id))
    return f'W/"{hashlib.sha256(repr(shown).encode()).hexdigest()[:32]}"'
