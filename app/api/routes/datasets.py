"""Data sets."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, BackgroundTasks, Depends, Header, Query, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from app import queue
from app.api.deps import (
    AppBlobs,
    AppNotifier,
    AppReportPages,
    AppSettings,
    AppStore,
    CurrentCaller,
    ReadSession,
    Revalidate,
    WriteSession,
    read_in_turn,
    resources_of,
)
from app.api.downloads import AsDownload, disposition
from app.api.live.streams import dataset_stream
from app.api.live.waiting import WaitForImport, wait_until
from app.api.openapi import ETAG, LOCATION, REPLAYED, problems
from app.api.params import AfterClass, AfterDataset, Limit
from app.api.preconditions import matches
from app.api.report_pages import PageSource, ReportPages
from app.api.schemas.common import ListPage, as_json
from app.api.schemas.datasets import DatasetClassRead, DatasetListed, DatasetRead
from app.api.uploads.document import DATASET_BODY
from app.api.uploads.intake import ReceivedUpload
from app.api.uploads.options import ChosenLayout
from app.db.models import Dataset
from app.db.queries.jobs import Stamp
from app.domain.dataset import DatasetReport
from app.domain.errors import (
    BucketRefused,
    BytesQuotaExceeded,
    DatasetInUse,
    DatasetNotReady,
    DestinationRefused,
    DiskFull,
    IdempotencyKeyInFlight,
    IdempotencyKeyReused,
    MalformedRequest,
    NotFound,
    ReportsBusy,
    StateConflict,
    TooLarge,
    UnknownLayout,
    UnsupportedMediaType,
    UploadIncomplete,
    UploadLocked,
)
from app.domain.states import DatasetState
from app.reports import dataset_report
from app.reports.dataset_report import ReportedDataset
from app.services import dataset_pictures, dataset_requests, datasets

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


@router.post(
    "",
    operation_id="create_dataset",
    summary="Upload a data set",
    status_code=202,
    response_model=DatasetRead,
    responses={
        202: {"headers": LOCATION | REPLAYED},
        **problems(
            MalformedRequest,
            NotFound,
            UploadIncomplete,
            IdempotencyKeyInFlight,
            TooLarge,
            BytesQuotaExceeded,
            UnsupportedMediaType,
            DestinationRefused,
            BucketRefused,
            IdempotencyKeyReused,
            UploadLocked,
            DiskFull,
        ),
    },
    openapi_extra=DATASET_BODY,
)
def create_dataset(
    caller: CurrentCaller,
    upload: ReceivedUpload,
    session: WriteSession,
    settings: AppSettings,
    blobs: AppBlobs,
    notifier: AppNotifier,
    revalidate: Revalidate,
    response: Response,
    background: BackgroundTasks,
) -> DatasetRead:
    """Send the archive as a form, as the request body, or as a completed upload (`POST /v1/uploads`) by its `upload_id`
    in JSON; the same upload always gives the same data set. Or name its address as `source_url` in JSON, and a worker
    fetches it. A worker then checks every file: poll the data set until it is `ready` or `rejected`, then read its
    report. Where the archive can be read in several ways that give different
    classes it becomes `needs_answer`. `layout`, `encoding`, `labels_column`, `unlabelled_classes` and `stretch` say at
    once what you know: in the form, in the query beside a bare archive, in the JSON, or as keys of Upload-Metadata."""
    made = dataset_requests.make(session, blobs, settings, caller, upload, revalidate)
    response.headers["Location"] = f"/v1/datasets/{made.dataset.id}"
    if made.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    background.add_task(notifier.notify, queue.IMPORT_TASK, made.dataset.id)
    return _shown(session, made.dataset)


@router.get("", operation_id="list_datasets", summary="List data sets", response_model=ListPage[DatasetListed])
def list_datasets(
    caller: CurrentCaller, session: ReadSession, after: AfterDataset = None, limit: Limit = 20
) -> Response:
    """Newest first. Their classes are counted; ask for a data set to read their names."""
    page = datasets.page(session, caller.tenant, after=after, limit=limit)
    ids = [dataset.id for dataset in page.items]
    return as_json(
        ListPage[DatasetListed].from_items(map(DatasetListed.from_row, page.items), ids, has_more=page.has_more)
    )


async def wait_for_change(
    request: Request, dataset_id: str, caller: CurrentCaller, store: AppStore, wait: WaitForImport = None
) -> None:
    """Runs before the route opens its session, so that a request that waits holds none."""
    known: Stamp | None = None

    def is_news() -> bool:
        nonlocal known
        with store.read() as session:
            stamp = datasets.stamp(session, caller.tenant, dataset_id)
        known = known or stamp
        return stamp.state != DatasetState.VALIDATING or stamp != known

    if wait:
        await wait_until(is_news, request, dataset_id, wait)


@router.get("/{dataset_id}", operation_id="get_dataset", summary="Get a data set", responses=problems(NotFound))
def get_dataset(
    dataset_id: str, caller: CurrentCaller, _waited: Annotated[None, Depends(wait_for_change)], session: ReadSession
) -> DatasetRead:
    """The state of its import and, once it is ready, its classes and counts."""
    return _shown(session, datasets.find(session, caller.tenant, dataset_id))


@router.get(
    "/{dataset_id}/classes",
    operation_id="list_dataset_classes",
    summary="List the classes of a data set",
    response_model=ListPage[DatasetClassRead],
    responses=problems(NotFound, DatasetNotReady),
)
def list_dataset_classes(
    dataset_id: str, caller: CurrentCaller, session: ReadSession, after: AfterClass = None, limit: Limit = 20
) -> Response:
    """In the order of the student's outputs, each with its number of images per split."""
    page = datasets.classes(session, caller.tenant, dataset_id, after=after, limit=limit)
    ids = [str(row.number) for row in page.items]
    return as_json(
        ListPage[DatasetClassRead].from_items(map(DatasetClassRead.from_row, page.items), ids, has_more=page.has_more)
    )


@router.get(
    "/{dataset_id}/report",
    operation_id="get_dataset_report",
    summary="Get the import report",
    response_model=DatasetReport,
    responses={
        200: {"content": {"text/html": {"schema": {"type": "string"}}}},
        304: {"description": "You have this page already.", "headers": ETAG},
        **problems(NotFound, DatasetNotReady, ReportsBusy),
    },
)
async def get_dataset_report(
    dataset_id: str,
    request: Request,
    caller: CurrentCaller,
    pages: AppReportPages,
    settings: AppSettings,
    format: Annotated[
        Literal["json", "html"] | None, Query(description="Default: chosen by `Accept`, else JSON.")
    ] = None,
    download: AsDownload = False,
    accept: Annotated[str, Header(include_in_schema=False)] = "*/*",
    if_none_match: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """Images per class and split, sizes, skipped files, duplicates, near duplicates and leaks, with advice. `counts`
    names the first 200 classes; `totals` counts all. With `Accept: text/html` or `?format=html` it is a self-contained
    page with thumbnails and without scripts; it also shows likely label errors once a job has trained on the data
    set."""
    if format != "html" and (format == "json" or "text/html" not in accept.lower()):
        answer = await read_in_turn(request, lambda session: _report_json(session, caller.tenant, dataset_id))
        answer.headers["Vary"] = "Accept"
        answer.headers["Content-Disposition"] = disposition(f"{dataset_id}-report.json", save=download)
        return answer
    source, kept, report = await read_in_turn(request, lambda s: _page_source(s, pages, caller.tenant, dataset_id))
    headers = {**dataset_report.HEADERS, "ETag": f'"{source.digest}"', "Cache-Control": "private, no-cache"}
    headers["Content-Disposition"] = disposition(f"{dataset_id}-report.html", save=download)
    if matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    # before the time for a whole answer has passed, so that it is told what was waited for
    page = kept or await pages.make(request, source, report, 0.8 * settings.request_seconds)
    return HTMLResponse(page, headers=headers)


@router.delete(
    "/{dataset_id}",
    operation_id="delete_dataset",
    summary="Delete a data set",
    status_code=204,
    responses=problems(NotFound, DatasetInUse),
)
def delete_dataset(dataset_id: str, caller: CurrentCaller, session: WriteSession, blobs: AppBlobs) -> None:
    """Deletes the data set and its files. Refused while a job that has not ended uses it; ended jobs and their students
    stay."""
    datasets.delete(session, blobs, caller, dataset_id)


@router.get(
    "/{dataset_id}/events",
    operation_id="stream_dataset",
    summary="Follow an import",
    response_model=None,
    responses={200: {"content": {"text/event-stream": {}}}, **problems(NotFound)},
)
def stream_dataset(request: Request, dataset_id: str, caller: CurrentCaller, session: ReadSession) -> Response:
    """Server-sent events: `progress` with the data set when something of it has changed, and `end` once it is `ready`,
    `rejected` or in `needs_answer`; then the stream closes. Follow it again after the answer."""
    return dataset_stream(resources_of(request), caller, datasets.find(session, caller.tenant, dataset_id).id)


@router.post(
    "/{dataset_id}/layout",
    operation_id="choose_dataset_layout",
    summary="Choose how an archive is read",
    status_code=202,
    response_model=DatasetRead,
    responses={202: {"headers": LOCATION}, **problems(NotFound, StateConflict, UnknownLayout)},
)
def choose_dataset_layout(
    dataset_id: str,
    chosen: ChosenLayout,
    caller: CurrentCaller,
    session: WriteSession,
    notifier: AppNotifier,
    response: Response,
    background: BackgroundTasks,
) -> DatasetRead:
    """For a data set in the state `needs_answer`: the id of one of `layout.readings`. The archive has been kept and is
    imported again, without a second upload. Without an answer the data set is rejected after a week
    (TDMR_KEEP_UNANSWERED_HOURS)."""
    dataset = datasets.answer(session, caller, dataset_id, chosen.layout)
    response.headers["Location"] = f"/v1/datasets/{dataset.id}"
    background.add_task(notifier.notify, queue.IMPORT_TASK, dataset.id)
    return _shown(session, dataset)


def _shown(session: Session, dataset: Dataset) -> DatasetRead:
    return DatasetRead.from_row(dataset, classes=datasets.class_names(session, dataset))


def _report_json(session: Session, tenant: str, dataset_id: str) -> Response:
    return as_json(DatasetReport.model_validate(datasets.report(session, tenant, dataset_id)))


def _page_source(
    session: Session, pages: ReportPages, tenant: str, dataset_id: str
) -> tuple[PageSource, bytes | None, Mapping[str, Any]]:
    """With the page, where it has been made, or else the report that it is about."""
    dataset = datasets.find(session, tenant, dataset_id)
    datasets.require_ready(dataset)
    source = PageSource(
        ReportedDataset(
            id=dataset.id,
            name=dataset.name,
            bytes=dataset.bytes,
            sha256=dataset.sha256,
            created_at=dataset.created_at,
        ),
        preview_key=dataset_pictures.find_preview(dataset),
        review_key=dataset_pictures.find_review(session, dataset),
    )
    kept = pages.kept(source)
    return source, kept, {} if kept else datasets.report(session, tenant, dataset_id)
