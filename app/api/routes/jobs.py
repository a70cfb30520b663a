"""Jobs: create, look, cancel."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Body, Depends, Header, Query, Response
from sqlalchemy.orm import Session

from app import queue
from app.api.deps import AppCelery, CurrentCaller, ReadSession, WriteSession
from app.api.nudge import nudge
from app.api.openapi import ETAG, LOCATION, REPLAYED, problems
from app.api.params import METADATA_PARAMETER_DOCS, AfterJob, IdempotencyKey, Limit, MetadataFilter
from app.api.preconditions import matches
from app.api.schemas import JobRead, ListPage
from app.db.models import Job
from app.domain.errors import UnsupportedMediaType
from app.domain.spec import JobSpec
from app.domain.states import JobState
from app.services import jobs

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

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
    "probe": {
        "summary": "How good the frozen teacher is on this data; trains no student",
        "value": {
            "dataset_id": "ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC",
            "teacher": "vit_small_patch14_dinov2.lvd142m",
            "method": "probe",
        },
    },
}


def expect_json(content_type: Annotated[str, Header(include_in_schema=False)] = "") -> None:
    """
    Raises:
        UnsupportedMediaType: for anything but JSON.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaType(
            "A job is sent as application/json.", hint="Send `Content-Type: application/json`.", param="Content-Type"
        )


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
    celery: AppCelery,
    response: Response,
    background: BackgroundTasks,
    idempotency_key: IdempotencyKey = None,
) -> JobRead:
    """Queues the job. Every knob has a default that works; data set, teacher and student are a complete job. `students`
    instead of `student` trains several from one reprogrammed teacher."""
    submission = jobs.submit(session, caller.tenant, spec, idempotency_key)
    response.headers["Location"] = f"/v1/jobs/{submission.job.id}"
    if submission.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    background.add_task(nudge, celery, queue.TRAIN_TASK, submission.job.id)
    return _read(session, submission.job)


@router.get("", operation_id="list_jobs", summary="Your jobs", openapi_extra=METADATA_PARAMETER_DOCS)
def list_jobs(
    caller: CurrentCaller,
    session: ReadSession,
    metadata: MetadataFilter,
    state: Annotated[list[JobState], Query(description="Only jobs in one of these states.")] = [],  # noqa: B006
    after: AfterJob = None,
    limit: Limit = 20,
) -> ListPage[JobRead]:
    """Newest first."""
    page = jobs.page(session, caller.tenant, after=after, limit=limit, states=state, metadata=metadata)
    positions = jobs.queue_positions(session, page.items)
    ids = [job.id for job in page.items]
    return ListPage[JobRead].of((JobRead.of(job, positions) for job in page.items), ids, has_more=page.has_more)


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
    if_none_match: Annotated[str | None, Header(description="The ETag of your last answer.")] = None,
) -> Response:
    """State, stage, progress and the latest metrics. Cheap to poll: send the ETag back and get 304 without news."""
    body = _read(session, jobs.find(session, caller.tenant, job_id)).model_dump_json()
    etag = f'W/"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    summary="Stop a job",
    status_code=202,
    responses={202: {"headers": LOCATION}, **problems(404, 409)},
)
def cancel_job(job_id: str, caller: CurrentCaller, session: WriteSession, response: Response) -> JobRead:
    """A waiting job is cancelled at once; the worker of a running one stops it within seconds. 409 if it has ended."""
    job = jobs.cancel(session, caller.tenant, job_id)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return _read(session, job)


def _read(session: Session, job: Job) -> JobRead:
    return JobRead.of(job, jobs.queue_positions(session, [job]))
