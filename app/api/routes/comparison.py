"""Jobs side by side."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from app.api.deps import AppAnswerMarks, AppBlobs, CurrentCaller, read_in_turn
from app.api.openapi import problems
from app.api.params import SEVERAL_JOBS
from app.api.schemas.common import as_json
from app.domain.errors import NotFound, ReportsBusy
from app.domain.job_comparison import JobComparison
from app.services import comparison

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get(
    "/compare",
    operation_id="compare_jobs",
    summary="Compare jobs",
    response_model=JobComparison,
    responses=problems(NotFound, ReportsBusy),
)
async def compare_jobs(
    request: Request,
    caller: CurrentCaller,
    blobs: AppBlobs,
    answers: AppAnswerMarks,
    ids: Annotated[str, Query(pattern=SEVERAL_JOBS, description="The ids of 2 to 10 jobs, with commas between them.")],
) -> Response:
    """Where their specs differ, their curves, accuracies and files; and for each pair of students by how much one is
    better on the same images, with a 95 % interval. Students that were judged on different images have a reason
    instead."""
    job_ids = ids.split(",")
    subjects = await read_in_turn(request, lambda session: comparison.load(session, caller.tenant, job_ids))
    return as_json(await run_in_threadpool(comparison.compare, blobs, answers, subjects))
