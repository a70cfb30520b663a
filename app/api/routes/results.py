"""Events, training curves and evaluation of a job."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy.orm import Session

from app.api.deps import (
    AppSettings,
    CurrentCaller,
    ReadingCaller,
    ReadSession,
    StreamingCaller,
    resources_of,
)
from app.api.live.streams import job_stream
from app.api.openapi import problems
from app.api.params import Limit
from app.api.schemas.common import ListPage, as_json
from app.api.schemas.results import CurvesRead, EventRead, MetricPoint, StreamTicket
from app.domain.access import Caller
from app.domain.errors import NotFound, StudentRequired
from app.domain.evaluation import Evaluation
from app.domain.progress import MetricLine
from app.domain.states import Stage
from app.services import jobs, metrics, tickets
from app.services.live import Cursor

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"])

MAX_STEP = 2**53
EVENT_STREAM = "text/event-stream"
STREAM: dict[str, Any] = {EVENT_STREAM: {}}
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="For a stream: the `id` of the last event received; it goes on there."),
]


@router.get(
    "/events",
    operation_id="list_job_events",
    summary="List the events of a job",
    response_model=ListPage[EventRead],
    responses={200: {"content": STREAM}, **problems(NotFound)},
)
def list_events(
    request: Request,
    job_id: str,
    caller: StreamingCaller,
    session: ReadSession,
    after: Annotated[int, Query(ge=0, le=MAX_STEP, description="Only events after this `seq`.")] = 0,
    limit: Limit = 20,
    accept: Annotated[str, Header(include_in_schema=False)] = "*/*",
    last_event_id: LastEventId = None,
) -> Response:
    """Oldest first: every change of state, every stage, and notes and warnings worth reading.

    With `Accept: text/event-stream` the answer is live (server-sent events): `event` and `metrics` as they come, from
    the first one or from behind `Last-Event-ID` on, `progress` when it changes, and `end` with the job as it ended. A
    stream that breaks off before its `end` is continued by connecting again."""
    if EVENT_STREAM in accept.lower():
        return _stream(request, caller, session, job_id, last_event_id or str(after))
    page = jobs.events(session, caller.tenant, job_id, after=after, limit=limit)
    ids = [str(event.seq) for event in page.items]
    return as_json(ListPage[EventRead].from_items(map(EventRead.from_row, page.items), ids, has_more=page.has_more))


@router.post(
    "/events/ticket",
    operation_id="create_stream_ticket",
    summary="Create a ticket for a browser's EventSource",
    status_code=201,
    responses=problems(NotFound),
)
def create_ticket(job_id: str, caller: ReadingCaller, session: ReadSession, settings: AppSettings) -> StreamTicket:
    """`EventSource` sends no header. The ticket stands in for the key: `new EventSource(".../events?ticket=...")`,
    within 60 seconds, for this job alone. A stream that stands goes on after that; to connect again takes another
    ticket."""
    ticket, expires_at = tickets.issue(session, settings.api_key, caller, job_id)
    return StreamTicket(ticket=ticket, expires_at=expires_at)


@router.get(
    "/metrics",
    operation_id="get_job_metrics",
    summary="Get the training curves",
    response_model=CurvesRead,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}} | STREAM}, **problems(NotFound)},
)
def get_metrics(
    request: Request,
    job_id: str,
    caller: StreamingCaller,
    session: ReadSession,
    stage: Annotated[Stage | None, Query(description="Only this stage.")] = None,
    from_step: Annotated[int, Query(ge=0, le=MAX_STEP, description="Only this step and later ones.")] = 0,
    accept: Annotated[str, Header(include_in_schema=False)] = "*/*",
    last_event_id: LastEventId = None,
) -> CurvesRead | Response:
    """Losses are means over the steps since the previous point; accuracies are fractions from 0 to 1. With `students`,
    names start with the student's, for example `resnet18/loss`, and steps continue from student to student. With
    `Accept: text/csv` the answer is a table with one row per point; with `Accept: text/event-stream` it is the live
    stream of the job's events."""
    if EVENT_STREAM in accept.lower():
        return _stream(request, caller, session, job_id, last_event_id or "0")
    points = metrics.curves(session, caller.tenant, job_id, stage=stage, from_step=from_step)
    if "text/csv" in accept.lower():
        return Response(_table(points), media_type="text/csv", headers={"Vary": "Accept"})
    return CurvesRead(points=[MetricPoint.from_line(point) for point in points])


@router.get(
    "/evaluation",
    operation_id="get_job_evaluation",
    summary="Get the evaluation",
    response_model=None,
    responses={200: {"model": Evaluation}, **problems(NotFound, StudentRequired)},
)
def get_evaluation(
    job_id: str,
    caller: CurrentCaller,
    session: ReadSession,
    student: Annotated[str | None, Query(description="Which student; required where the job has several.")] = None,
) -> Response:
    """Accuracy, figures per class, confusion matrix and calibration with 95 % intervals, for the student and its
    teacher, and the images in each cell of the confusion matrix. With method `probe`, `student` is null."""
    # as the worker wrote it, which may be of another version: to check it here would only refuse what can be read
    return JSONResponse(metrics.evaluation(session, caller.tenant, job_id, student))


def _stream(request: Request, caller: Caller, session: Session, job_id: str, heard: str) -> Response:
    cursor = Cursor.parse(heard)
    return job_stream(resources_of(request), caller, jobs.stamp(session, caller.tenant, job_id).id, cursor)


def _table(points: Sequence[MetricLine]) -> str:
    names = sorted({name for point in points for name in point.values})
    rows: list[Mapping[str, Any]] = [{"stage": p.stage.value, "step": p.step, **p.values} for p in points]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["stage", "step", *names], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
