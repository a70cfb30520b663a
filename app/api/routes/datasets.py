"""Data sets."""

from typing import Annotated, Literal

from fastapi import APIRouter, BackgroundTasks, Header, Query, Response
from fastapi.responses import HTMLResponse

from app import queue
from app.api.deps import AppBlobs, AppNudger, AppSettings, CurrentCaller, ReadSession, WriteSession
from app.api.openapi import LOCATION, problems
from app.api.params import AfterDataset, Limit
from app.api.schemas import DatasetRead, ListPage
from app.api.uploads import ARCHIVE_TYPES, DatasetFromUpload, ReceivedUpload
from app.domain.dataset import DatasetReport
from app.pages import dataset_report
from app.services import dataset_pictures, datasets

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {
            "type": "string",
            "contentMediaType": "application/octet-stream",
            "description": "zip, tar, tar.gz or tar.zst: one folder per class, optionally under `train/ val/ test/`, "
            "with `unlabeled/` beside them; or images with a `labels.csv` or `metadata.jsonl`.",
        },
        "name": {"type": "string", "maxLength": 256, "description": "Default: the file's name."},
    },
}
UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM},
            "application/json": {"schema": DatasetFromUpload.model_json_schema()},
            **{media_type: {} for media_type in ARCHIVE_TYPES},
        },
    }
}


@router.post(
    "",
    operation_id="create_dataset",
    summary="Upload a data set",
    status_code=202,
    response_model=DatasetRead,
    responses={202: {"headers": LOCATION}, **problems(400, 404, 409, 413, 415, 422, 423, 507)},
    openapi_extra=UPLOAD_BODY,
)
def create_dataset(
    caller: CurrentCaller,
    upload: ReceivedUpload,
    session: WriteSession,
    settings: AppSettings,
    blobs: AppBlobs,
    nudger: AppNudger,
    response: Response,
    background: BackgroundTasks,
) -> DatasetRead:
    """Takes the archive as it is: as a form, as the body itself, or as a completed upload (`POST /v1/uploads`) named in
    JSON; asking for one again gives the same data set. A worker then checks every file. Poll the data set until it is
    `ready` or `rejected`, then read its report."""
    if isinstance(upload, str):
        dataset = datasets.find(session, caller.tenant, upload)
    else:
        dataset = datasets.create(session, blobs, settings.quotas, caller.tenant, upload)
    response.headers["Location"] = f"/v1/datasets/{dataset.id}"
    background.add_task(nudger.nudge, queue.IMPORT_TASK, dataset.id)
    return DatasetRead.of(dataset)


@router.get("", operation_id="list_datasets", summary="Your data sets")
def list_datasets(
    caller: CurrentCaller, session: ReadSession, after: AfterDataset = None, limit: Limit = 20
) -> ListPage[DatasetRead]:
    """Newest first."""
    page = datasets.page(session, caller.tenant, after=after, limit=limit)
    ids = [dataset.id for dataset in page.items]
    return ListPage[DatasetRead].of(map(DatasetRead.of, page.items), ids, has_more=page.has_more)


@router.get("/{dataset_id}", operation_id="get_dataset", summary="One data set", responses=problems(404))
def get_dataset(dataset_id: str, caller: CurrentCaller, session: ReadSession) -> DatasetRead:
    """Its state, and once it is ready its classes and counts."""
    return DatasetRead.of(datasets.find(session, caller.tenant, dataset_id))


@router.get(
    "/{dataset_id}/report",
    operation_id="get_dataset_report",
    summary="What the import found",
    response_model=DatasetReport,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}, **problems(404, 409)},
)
def get_dataset_report(
    dataset_id: str,
    caller: CurrentCaller,
    session: ReadSession,
    blobs: AppBlobs,
    format: Annotated[
        Literal["json", "html"] | None, Query(description="Default: what `Accept` asks for, else JSON.")
    ] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "*/*",
) -> DatasetReport | Response:
    """Images per class and split, sizes, skipped files, duplicates, near duplicates and leaks, and what to do. With
    `Accept: text/html` or `?format=html` it is a page with thumbnails, one file without scripts, that can be saved and
    sent; it also shows likely label errors where a job has looked at the data set."""
    report = DatasetReport.model_validate(datasets.report(session, caller.tenant, dataset_id))
    if format != "html" and (format == "json" or "text/html" not in accept.lower()):
        return report
    dataset = datasets.find(session, caller.tenant, dataset_id)
    preview, review = dataset_pictures.preview(blobs, dataset), dataset_pictures.review(session, blobs, dataset)
    page = dataset_report.render(dataset, report, preview, review)
    return HTMLResponse(page, headers=dataset_report.HEADERS)


@router.delete(
    "/{dataset_id}",
    operation_id="delete_dataset",
    summary="Delete a data set with all its bytes",
    status_code=204,
    responses=problems(404, 409),
)
def delete_dataset(dataset_id: str, caller: CurrentCaller, session: WriteSession, blobs: AppBlobs) -> None:
    """Refused while a job that has not ended uses it. Ended jobs and their students stay."""
    datasets.delete(session, blobs, caller.tenant, dataset_id)
