"""What `POST /v1/datasets` makes a data set of: a form, a bare archive, or an upload that has arrived before.

Each ends in one local file, received with bounded memory, hashed on the way, and gone afterwards.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.concurrency import contextmanager_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool

from app.api.deps import AppPartials, AppSettings, AppStore, CurrentCaller
from app.api.multipart import Form
from app.api.reception import bounded, fresh, pour
from app.db.engine import Store
from app.db.upload_models import PartialRow
from app.domain.errors import MalformedRequest, UnsupportedMediaType, UploadIncomplete, UploadTooLarge
from app.domain.names import Text
from app.services import uploads
from app.services.datasets import Upload
from app.storage.partial import PartialUpload, PartialUploads

ARCHIVE_TYPES = (
    "application/zip",
    "application/x-tar",
    "application/gzip",
    "application/zstd",
    "application/octet-stream",
)
"""Of a bare archive. What it really is, the import finds out."""
_JSON_BYTES = 64 * 1024


class DatasetFromUpload(BaseModel):
    """An upload that has arrived completely becomes a data set."""

    model_config = ConfigDict(extra="forbid")

    upload_id: str = Field(examples=["upl_01JCZ7Q2R8M4K6H8G0F1E3D5C7"])
    name: Text | None = Field(default=None, description="Default: the `filename` or `name` of its Upload-Metadata.")


async def receive_upload(
    request: Request,
    caller: CurrentCaller,
    settings: AppSettings,
    store: AppStore,
    partials: AppPartials,
    name: Annotated[Text | None, Query(description="Of the data set. Default: the file's name.")] = None,
) -> AsyncIterator[Upload | str]:
    """The archive in a local file, which is gone when the request is over; or the id of the data set that was made of
    the same upload before.

    Raises:
        UnsupportedMediaType, MalformedRequest, UploadTooLarge, DiskFull, RequestValidationError: about the body.
        NotFound, UploadIncomplete, UploadLocked: about the upload that it names.
    """
    media_type, options = parse_options_header(request.headers.get("content-type"))
    if media_type == b"application/json":
        asked = await _read_json(request)
        async with _arrived(store, partials, caller.tenant, asked.upload_id) as (row, partial):
            if row.dataset_id is not None:
                yield row.dataset_id
            else:
                sha256 = await run_in_threadpool(partial.sha256)
                yield Upload(partial.path, asked.name or name or row.name, row.length, sha256, row.id)
    elif media_type == b"multipart/form-data":
        if b"boundary" not in options:
            raise MalformedRequest("The Content-Type names no boundary.", param="Content-Type")
        async with fresh(partials) as partial:
            form = Form(options[b"boundary"], bounded(partial, settings.max_upload_bytes))
            await pour(request, form.feed)
            form.finish()
            yield _received(partial, form.name() or name, form.filename)
    elif media_type.decode("latin-1") in ARCHIVE_TYPES:
        async with fresh(partials) as partial:
            await pour(request, bounded(partial, settings.max_upload_bytes))
            _, disposition = parse_options_header(request.headers.get("content-disposition"))
            yield _received(partial, name, disposition.get(b"filename", b"").decode(errors="replace"))
    else:
        raise UnsupportedMediaType(
            "A data set is sent as multipart/form-data, as a bare archive, or as JSON that names an upload.",
            hint="Try: curl -F file=@images.zip …",
            param="Content-Type",
        )


# scope="function": the local copy is gone before the answer leaves
ReceivedUpload = Annotated[Upload | str, Depends(receive_upload, scope="function")]


@asynccontextmanager
async def _arrived(
    store: Store, partials: PartialUploads, tenant: str, upload_id: str
) -> AsyncIterator[tuple[PartialRow, PartialUpload]]:
    """A resumable upload, whose file is gone once a data set was made of it."""

    def find() -> PartialRow:
        with store.read() as session:
            return uploads.find(session, tenant, upload_id)

    await run_in_threadpool(find)
    async with contextmanager_in_threadpool(partials.hold(upload_id)) as partial:
        row = await run_in_threadpool(find)  # again, now that nobody else makes anything of it
        if row.dataset_id is None and partial.offset < row.length:
            raise UploadIncomplete(
                f"Of {row.length:,} bytes {partial.offset:,} have arrived.", hint="PATCH the upload with the rest."
            )
        yield row, partial
        await run_in_threadpool(partial.remove)  # not where the request has failed: that raises where the yield stands


def _received(partial: PartialUpload, name: str | None, filename: str) -> Upload:
    return Upload(partial.path, name or uploads.file_name(filename), partial.offset, partial.sha256())


async def _read_json(request: Request) -> DatasetFromUpload:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _JSON_BYTES:
            raise UploadTooLarge(f"This JSON may have at most {_JSON_BYTES:,} bytes.")
    try:
        return DatasetFromUpload.model_validate_json(bytes(body))
    except ValidationError as error:
        found = error.errors()
        if found[0]["type"] == "json_invalid":
            raise MalformedRequest(f"The body is not JSON: {found[0]['ctx']['error']}.") from error
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in found]) from error
