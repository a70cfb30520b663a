"""Data sets."""

from fastapi import APIRouter, BackgroundTasks, Response

from app import queue
from app.api.deps import AppBlobs, AppCelery, CurrentCaller, ReadSession, WriteSession
from app.api.nudge import nudge
from app.api.openapi import LOCATION, problems
from app.api.params import AfterDataset, Limit
from app.api.schemas import DatasetRead, ListPage
from app.api.uploads import ReceivedUpload
from app.domain.dataset import DatasetReport
from app.services import datasets

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

UPLOAD_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "contentMediaType": "application/octet-stream",
                            "description": "zip, tar, tar.gz or tar.zst: one folder per class, optionally under "
                            "`train/ val/ test/`, with `unlabeled/` beside them.",
                        },
                        "name": {"type": "string", "maxLength": 256, "description": "Default: the file's name."},
                    },
                }
            }
        },
    }
}


@router.post(
    "",
    operation_id="create_dataset",
    summary="Upload a data set",
    status_code=202,
    response_model=DatasetRead,
    responses={202: {"headers": LOCATION}, **problems(400, 413, 415, 422, 507)},
    openapi_extra=UPLOAD_FORM,
)
def create_dataset(
    caller: CurrentCaller,
    upload: ReceivedUpload,
    session: WriteSession,
    blobs: AppBlobs,
    celery: AppCelery,
    response: Response,
    background: BackgroundTasks,
) -> DatasetRead:
    """Takes the archive as it is; a worker then checks every file. Poll the data set until it is `ready` or `rejected`,
    then read its report."""
    dataset = datasets.create(session, blobs, caller.tenant, upload)
    response.headers["Location"] = f"/v1/datasets/{dataset.id}"
    background.add_task(nudge, celery, queue.IMPORT_TASK, dataset.id)
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
    responses=problems(404, 409),
)
def get_dataset_report(dataset_id: str, caller: CurrentCaller, session: ReadSession) -> DatasetReport:
    """Images per class and split, skipped files with reasons, duplicates and leaks."""
    return DatasetReport.model_validate(datasets.report(session, caller.tenant, dataset_id))


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
