"""What a job would take, before it is created."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Response

from app.api.deps import AppSettings, ReadingCaller, ReadSession
from app.api.examples import NEW_JOBS
from app.api.openapi import problems
from app.api.params import expect_json
from app.api.schemas.common import as_json
from app.api.schemas.estimate import EstimateRead
from app.domain.errors import (
    CatalogEmpty,
    DatasetNotReady,
    InvalidSpec,
    MalformedRequest,
    ModelRefused,
    NotFound,
    TooLarge,
    TrackingNotConfigured,
    UnknownStudent,
    UnknownTeacher,
    UnsupportedMediaType,
)
from app.domain.spec import JobCreate
from app.services import jobs, trackings
from app.services.catalog import learn_methods
from app.services.estimates import Bounds

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


def know_methods(session: ReadSession) -> None:
    """As for a job that is created: the body may name a method that a worker has just announced."""
    learn_methods(session)


@router.post(
    "/estimate",
    operation_id="estimate_job",
    summary="Estimate a job",
    response_model=EstimateRead,
    dependencies=[Depends(expect_json)],
    responses=problems(
        MalformedRequest,
        NotFound,
        DatasetNotReady,
        TooLarge,
        UnsupportedMediaType,
        InvalidSpec,
        UnknownTeacher,
        UnknownStudent,
        ModelRefused,
        TrackingNotConfigured,
        CatalogEmpty,
    ),
)
def estimate_job(
    wanted: Annotated[JobCreate, Body(openapi_examples=NEW_JOBS)],
    caller: ReadingCaller,
    session: ReadSession,
    _methods: Annotated[None, Depends(know_methods)],
    settings: AppSettings,
) -> Response:
    """Takes the body of `POST /v1/jobs` and checks it in the same way, but creates nothing and needs only the scope
    `read`. Seconds come from what the
    workers have measured on their kind of machine, in idle time and in earlier jobs; what was not measured is
    interpolated between networks by their arithmetic, or null."""
    trackings.require_server(settings.tracking_server, wanted.track)
    bounds = Bounds(settings.job_hours, settings.child_memory_gb, settings.cache_gb)
    found = jobs.estimate(session, settings.quotas, caller, wanted.spec(), bounds, settings.lease_seconds)
    return as_json(EstimateRead.from_estimate(found))
