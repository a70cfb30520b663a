"""What a job tells while it runs and leaves when it ends: events, curves, evaluation, files."""

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response, StreamingResponse

from app.api.deps import AppBlobs, CurrentCaller, ReadSession
from app.api.openapi import DOWNLOAD, problem_content, problems
from app.api.params import Limit
from app.api.preconditions import RangeNotSatisfiable, matches, parse_range
from app.api.problems import problem_response
from app.api.schemas import ArtifactRead, CurvesRead, EventRead, ListPage, MetricPoint
from app.db.models import Artifact
from app.domain.progress import MetricLine
from app.domain.states import Stage
from app.services import artifacts, events, metrics

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"])

MAX_STEP = 2**53

FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The whole file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "contentMediaType": "*/*"}}},
        "headers": DOWNLOAD,
    },
    206: {
        "description": "The range asked for.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "contentMediaType": "*/*"}}},
        "headers": DOWNLOAD | {"Content-Range": {"schema": {"type": "string"}, "description": "bytes 0-99/12345"}},
    },
    304: {"description": "You have this file already.", "headers": DOWNLOAD},
    416: {**problem_content(416), "headers": {"Content-Range": {"schema": {"type": "string"}}}},
    **problems(404),
}


@router.get("/events", operation_id="list_job_events", summary="What happened, in order", responses=problems(404))
def list_events(
    job_id: str,
    caller: CurrentCaller,
    session: ReadSession,
    after: Annotated[int, Query(ge=0, le=MAX_STEP, description="Only events with a higher `seq`.")] = 0,
    limit: Limit = 20,
) -> ListPage[EventRead]:
    """Oldest first. Each change of state is one, so is each stage and each thing worth a person's attention."""
    page = events.page(session, caller.tenant, job_id, after=after, limit=limit)
    ids = [str(event.seq) for event in page.items]
    return ListPage[EventRead].of(map(EventRead.of, page.items), ids, has_more=page.has_more)


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
    "/evaluation", operation_id="get_job_evaluation", summary="How good the student is", responses=problems(404)
)
def get_evaluation(
    job_id: str,
    caller: CurrentCaller,
    session: ReadSession,
    student: Annotated[
        str | None, Query(description="Which one, where the job has several: without it, 404 then names them.")
    ] = None,
) -> dict[str, Any]:
    """Accuracy, per class, confusion matrix and calibration; the student beside its teacher. Method `probe` has no
    student: `student` is null."""
    return metrics.evaluation(session, caller.tenant, job_id, student)


@router.get("/artifacts", operation_id="list_job_artifacts", summary="The files to download", responses=problems(404))
def list_artifacts(job_id: str, caller: CurrentCaller, session: ReadSession) -> ListPage[ArtifactRead]:
    """All of them, by name; none until the job has succeeded. With `students` the files of each are called
    `<student>/student.onnx` and so on; `manifest.json` tells what all are."""
    rows = artifacts.listing(session, caller.tenant, job_id)
    return ListPage[ArtifactRead].of(map(ArtifactRead.of, rows), [row.name for row in rows], has_more=False)


@router.head(
    "/artifacts/{name:path}",
    operation_id="head_job_artifact",
    summary="Size and digest of a file",
    response_class=Response,
    responses={200: {"description": "As for GET, without the bytes.", "headers": DOWNLOAD}, **problems(404)},
)
def head_artifact(job_id: str, name: str, caller: CurrentCaller, session: ReadSession) -> Response:
    """The headers that GET would send."""
    artifact = artifacts.find(session, caller.tenant, job_id, name)
    headers = _headers(artifact) | {"Content-Length": str(artifact.bytes)}
    return Response(headers=headers, media_type=artifact.media_type)


@router.get(
    "/artifacts/{name:path}",
    operation_id="download_job_artifact",
    summary="Download a file",
    response_class=StreamingResponse,
    responses=FILE,
)
def download_artifact(
    job_id: str,
    name: str,
    caller: CurrentCaller,
    session: ReadSession,
    blobs: AppBlobs,
    range_: Annotated[str | None, Header(alias="Range", description="`bytes=0-99`, to resume a download.")] = None,
    if_range: Annotated[str | None, Header(description="Send the range only if the file has this ETag.")] = None,
    if_none_match: Annotated[str | None, Header(description="The ETag of the file you have.")] = None,
) -> Response:
    """Streams it; a slash in the name is part of the path. A published file never changes, so a broken download can be
    resumed with Range."""
    artifact = artifacts.find(session, caller.tenant, job_id, name)
    headers = _headers(artifact)
    if matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    try:
        wanted = parse_range(range_, artifact.bytes) if if_range in {None, headers["ETag"]} else None
    except RangeNotSatisfiable:
        return problem_response(
            416,
            code="range_not_satisfiable",
            title="There are no such bytes",
            detail=f"The file has {artifact.bytes} bytes; ask for one range within it.",
            param="Range",
            instance=f"/v1/jobs/{job_id}/artifacts/{quote(name)}",
            headers={"Content-Range": f"bytes */{artifact.bytes}"},
        )
    start, length = (wanted.start, wanted.end - wanted.start + 1) if wanted else (0, artifact.bytes)
    headers["Content-Length"] = str(length)
    if wanted:
        headers["Content-Range"] = f"bytes {wanted.start}-{wanted.end}/{artifact.bytes}"
    pieces = artifacts.read(blobs, artifact, start, length)
    return StreamingResponse(pieces, 206 if wanted else 200, headers, media_type=artifact.media_type)


def _headers(artifact: Artifact) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(artifact.sha256)).decode()
    return {
        "ETag": f'"{artifact.sha256}"',
        "Accept-Ranges": "bytes",
        "Repr-Digest": f"sha-256=:{digest}:",
        "Digest": f"sha-256={digest}",  # as it was called before RFC 9530
        # no folder in it: what saves the file would drop that, and one student's file would overwrite another's
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(artifact.name.replace('/', '-'))}",
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }


def _table(points: Sequence[MetricLine]) -> str:
    names = sorted({name for point in points for name in point.values})
    rows: list[Mapping[str, Any]] = [{"stage": p.stage.value, "step": p.step, **p.values} for p in points]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["stage", "step", *names], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
