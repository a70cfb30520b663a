"""What a job tells while it runs and when it ends: events, curves, evaluation."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import JSONResponse, Response

from app.api.answers import as_json
from app.api.deps import CurrentCaller, ReadSession
from app.api.openapi import problems
from app.api.params import Limit
from app.api.schemas import CurvesRead, EventRead, ListPage, MetricPoint
from app.domain.evaluation import Evaluation
from app.domain.progress import MetricLine
from app.domain.states import Stage
from app.services import events, metrics

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"])

MAX_STEP = 2**53


@router.get(
    "/events",
    operation_id="list_job_events",
    summary="What happened, in order",
    response_model=ListPage[EventRead],
    responses=problems(404),
)
def list_events(
    job_id: str,
    caller: CurrentCaller,
    session: ReadSession,
    after: Annotated[int, Query(ge=0, le=MAX_STEP, description="Only events with a higher `seq`.")] = 0,
    limit: Limit = 20,
) -> Response:
    """Oldest first. Each change of state is one, so is each stage and each thing worth a person's attention."""
    page = events.page(session, caller.tenant, job_id, after=after, limit=limit)
    ids = [str(event.seq) for event in page.items]
    return as_json(ListPage[EventRead].of(map(EventRead.of, page.items), ids, has_more=page.has_more))


@router.get(
    "/metrics",
    operation_id="get_job_metrics",
    summary="The curves",
    response_model=CurvesRead,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, **problems(404)},
)
def get_metrics(
    job_id: str,
    caller: CurrentCaller,
    session: ReadSession,
    stage: Annotated[Stage | None, Query(description="Only this stage.")] = None,
    from_step: Annotated[int, Query(ge=0, le=MAX_STEP, description="Only steps from this one on.")] = 0,
    accept: Annotated[str, Header(include_in_schema=False)] = "*/*",
) -> CurvesRead | Response:
    """Losses are means over the steps since the point before; accuracies are fractions in 0..1. With `students` each
    name begins with the student's, `resnet18/loss`, and the steps count on from student to student. With
    `Accept: text/csv` it is a table with one row per point."""
    points = metrics.curves(session, caller.tenant, job_id, stage=stage, from_step=from_step)
    if "text/csv" in accept.lower():
        return Response(_table(points), media_type="text/csv", headers={"Vary": "Accept"})
    return CurvesRead(points=[MetricPoint.of(point) for point in points])


@router.get(
    "/evaluation",
    operation_id="get_job_evaluation",
    summary="How good the student is",
    response_model=None,
    responses={200: {"model": Evaluation}, **problems(404)},
)
def get_evaluation(
    job_id: str,
    caller: CurrentCaller,
    session: ReadSession,
    student: Annotated[
        str | None, Query(description="Which one, where the job has several: without it, 404 then names them.")
    ] = None,
) -> Response:
    """Accuracy, per class, confusion matrix and calibration, with 95 % intervals; the student beside its teacher, and
    the images behind each cell of its confusion matrix. Method `probe` has no student: `student` is null."""
    # as the worker wrote it, which may be of another version: to check it here would only refuse what can be read
    return JSONResponse(metrics.evaluation(session, caller.tenant, job_id, student))


def _table(points: Sequence[MetricLine]) -> str:
    names = sorted({name for point in points for name in point.values})
    rows: list[Mapping[str, Any]] = [{"stage": p.stage.value, "step": p.step, **p.values} for p in points]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["stage", "step", *names], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
