"""Jobs: create, look, and what one may do to them."""

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Body, Depends, Header, Query, Response
from sqlalchemy.orm import Session

from app import queue
from app.api.answers import as_json
from app.api.deps import AppNudger, AppSettings, CurrentCaller, ReadSession, WriteSession
from app.api.openapi import ETAG, LOCATION, REPLAYED, problems
from app.api.params import METADATA_PARAMETER_DOCS, AfterJob, IdempotencyKey, Limit, MetadataFilter, expect_json
from app.api.preconditions import matches
from app.api.schemas import JobRead, ListPage
from app.db.models import Job
from app.db.queries import Stamp
from app.domain.line import Place
from app.domain.spec import JobSpec
from app.domain.states import JobState
from app.services import jobs
from app.settings import Settings

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

VERSION = version("tdmr")
"""Another one may show a job otherwise."""

EXAMPLES = {
    "shortest": {
        "summary": "A complete job",
        "value": {
            "dataset_id": "ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC",
            "teacher": "vit_small_patch14_dinov2.lvd142m",
            "student": "mobilenetv3_small_050",
        },
    },
    "digits": {
        "summary": "Small images that must not be mirrored, exported to ONNX only",
        "value": {
            "dataset_id": "ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC",
            "teacher": "vit_small_patch14_dinov2.lvd142m",
            "student": "mobilenetv3_small_050",
            "image_size": 32,
            "views": {"hflip": False},
            "export": {"formats": ["onnx"]},
            "metadata": {"owner": "ann"},
        },
    },
    "several": {
        "summary": "Three students of one teacher, which is asked and reprogrammed once",
        "value": {
            "dataset_id": "ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC",
            "teacher": "vit_small_patch14_dinov2.lvd142m",
            "students": ["mobilenetv3_small_050", "mobilenetv3_large_100", "resnet18"],
            "pretrained": True,
            "balance": "sampling",
        },
    },
    "constrained": {
        "summary": "The most accurate of three students that answers within 10 ms and fits 8 MB",
        "value": {
            "dataset_id": "ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC",
            "teacher": "vit_small_patch14_dinov2.lvd142m",
            "students": ["mobilenetv3_small_050", "mobilenetv3_large_100", "resnet18"],
            "constraints": {"max_latency_ms": 10, "max_bytes": 8000000},
        },
    },
    "probe": {
        "summary": "How good the frozen teacher is on this data; trains no student",
        "value": {
            "dataset_id": "ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC",
            "teacher": "vit_small_patch14_dinov2.lvd142m",
            "method": "probe",
        },
    },
}


@router.post(
    "",
    operation_id="create_job",
    summary="Train a student",
    status_code=202,
    response_model=JobRead,
    dependencies=[Depends(expect_json)],
    responses={202: {"headers": LOCATION | REPLAYED}, **problems(400, 404, 409, 413, 415, 422)},
)
def create_job(
    spec: Annotated[JobSpec, Body(openapi_examples=EXAMPLES)],
    caller: CurrentCaller,
    session: WriteSession,
    settings: AppSettings,
    nudger: AppNudger,
    response: Response,
    background: BackgroundTasks,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Queues the job. Every knob has a default that works; data set, teacher and student are a complete job. `students`
    instead of `student` trains several from one reprogrammed teacher."""
    submission = jobs.submit(session, settings.quotas, caller.tenant, spec, idempotency_key)
    response.headers["Location"] = f"/v1/jobs/{submission.job.id}"
    if submission.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    background.add_task(nudger.nudge, queue.TRAIN_TASK, submission.job.id)
    return as_json(_read(session, settings, submission.job), 202, response.headers)


@router.get(
    "",
    operation_id="list_jobs",
    summary="Your jobs",
    response_model=ListPage[JobRead],
    openapi_extra=METADATA_PARAMETER_DOCS,
)
def list_jobs(
    caller: CurrentCaller,
    session: ReadSession,
    settings: AppSettings,
    metadata: MetadataFilter,
    state: Annotated[list[JobState], Query(description="Only jobs in one of these states.")] = [],  # noqa: B006
    after: AfterJob = None,
    limit: Limit = 20,
) -> Response:
    """Newest first."""
    page = jobs.page(session, caller.tenant, after=after, limit=limit, states=state, metadata=metadata)
    places = jobs.queue_places(session, settings.quotas, page.items)
    ids = [job.id for job in page.items]
    shown = ListPage[JobRead].of((JobRead.of(job, places) for job in page.items), ids, has_more=page.has_more)
    return as_json(shown)


@router.get(
    "/{job_id}",
    operation_id="get_job",
    summary="One job",
    response_model=JobRead,
    responses={
        200: {"headers": ETAG},
        304: {"description": "Nothing has changed since the ETag in If-None-Match.", "headers": ETAG},
        **problems(404),
    },
)
def get_job(
    job_id: str,
    caller: CurrentCaller,
    session: ReadSession,
    settings: AppSettings,
    if_none_match: Annotated[str | None, Header(description="The ETag of your last answer.")] = None,
) -> Response:
    """State, stage, progress and the latest metrics. Cheap to poll: send the ETag back and get 304 without news."""
    headers = {"Cache-Control": "private, no-cache"}
    if if_none_match is not None:
        stamp = jobs.stamp(session, caller.tenant, job_id)
        headers["ETag"] = _etag(stamp, jobs.queue_places(session, settings.quotas, [stamp]))
        if matches(if_none_match, headers["ETag"]):
            return Response(status_code=304, headers=headers)
    job = jobs.find(session, caller.tenant, job_id)
    places = jobs.queue_places(session, settings.quotas, [job])
    headers["ETag"] = _etag(job, places)
    return as_json(JobRead.of(job, places), headers=headers)


_ACTION: dict[str, Any] = {
    "status_code": 202,
    "response_model": JobRead,
    "responses": {202: {"headers": LOCATION}, **problems(404, 409)},
}


@router.post("/{job_id}/cancel", operation_id="cancel_job", summary="Stop a job", **_ACTION)
def cancel_job(
    job_id: str, caller: CurrentCaller, session: WriteSession, settings: AppSettings, response: Response
) -> JobRead:
    """A waiting job is cancelled at once; the worker of a running one stops it within seconds. 409 if it has ended."""
    return _answer(session, settings, jobs.cancel(session, caller.tenant, job_id), response)


@router.post("/{job_id}/pause", operation_id="pause_job", summary="Let a job wait", **_ACTION)
def pause_job(
    job_id: str, caller: CurrentCaller, session: WriteSession, settings: AppSettings, response: Response
) -> JobRead:
    """A waiting job leaves the queue; the worker of a running one writes a checkpoint within seconds and is free. 409
    if it has ended."""
    return _answer(session, settings, jobs.pause(session, caller.tenant, job_id), response)


@router.post("/{job_id}/resume", operation_id="resume_job", summary="Go on with a paused job", **_ACTION)
def resume_job(
    job_id: str,
    caller: CurrentCaller,
    session: WriteSession,
    settings: AppSettings,
    nudger: AppNudger,
    response: Response,
    background: BackgroundTasks,
) -> JobRead:
    """It is queued in its old place and goes on from its checkpoint, on any worker. 409 if it is not paused."""
    job = jobs.resume(session, settings.quotas, caller.tenant, job_id)
    background.add_task(nudger.nudge, queue.TRAIN_TASK, job.id)
    return _answer(session, settings, job, response)


@router.post(
    "/{job_id}/retry",
    operation_id="retry_job",
    summary="Try an ended job again",
    **(_ACTION | {"responses": {202: {"headers": LOCATION}, **problems(404, 409, 422)}}),
)
def retry_job(
    job_id: str,
    caller: CurrentCaller,
    session: WriteSession,
    settings: AppSettings,
    nudger: AppNudger,
    response: Response,
    background: BackgroundTasks,
) -> JobRead:
    """A new job with the same spec, which goes on from the checkpoint of the one that failed or was cancelled, if one
    is kept. `Location` names the new job. 409 if the old one has not ended, or has succeeded."""
    job = jobs.retry(session, settings.quotas, caller.tenant, job_id)
    background.add_task(nudger.nudge, queue.TRAIN_TASK, job.id)
    return _answer(session, settings, job, response)


def _answer(session: Session, settings: Settings, job: Job, response: Response) -> JobRead:
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return _read(session, settings, job)


def _read(session: Session, settings: Settings, job: Job) -> JobRead:
    return JobRead.of(job, jobs.queue_places(session, settings.quotas, [job]))


def _etag(job: Job | Stamp, places: Mapping[str, Place]) -> str:
    """Without the body, so that most polls cost little: what it shows of a job changes with `updated_at`, and its place
    in the queue with other jobs."""
    shown = (VERSION, job.id, str(job.state), job.epoch, job.updated_at.isoformat(), places.get(job.id))
    return f'W/"{hashlib.sha256(repr(shown).encode()).hexdigest()[:32]}"'
