"""Receive the archive of `POST /v1/datasets`: a form, a bare archive, or a completed resumable upload.

Each becomes one local file, received with bounded memory, hashed on the way, and deleted afterwards.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.concurrency import contextmanager_in_threadpool
from pydantic import ConfigDict, Field, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool

from app.api.deps import AppPartials, AppSettings, AppStore, CurrentCaller
from app.api.errors import BodyInvalid
from app.api.uploads.body_stream import bounded, fresh, pour
from app.api.uploads.multipart import Form
from app.api.uploads.options import OPTIONS, Said, from_json, from_query, from_texts, options
from app.api.uploads.tus import metadata_of
from app.db.engine import Store
from app.db.models import PartialRow
from app.domain.dataset import ImportOptions
from app.domain.errors import MalformedRequest, TooLarge, UnsupportedMediaType, UploadIncomplete
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
    "application/x-zip-compressed",
    "application/x-gzip",
    "application/vnd.apache.parquet",
)
"""Of a bare archive. What it really is, the import finds out."""
_JSON_BYTES = 64 * 1024


class DatasetFromUpload(Said):
    """Create a data set from a completed upload."""

    model_config = ConfigDict(extra="forbid")

    upload_id: str = Field(
        description="A completed upload of `POST /v1/uploads`.", examples=["upl_01JCZ7Q2R8M4K6H8G0F1E3D5C7"]
    )
    name: Text | None = Field(default=None, description="Default: the `filename` or `name` of its Upload-Metadata.")


async def receive_upload(
    request: Request,
    caller: CurrentCaller,
    settings: AppSettings,
    store: AppStore,
    partials: AppPartials,
    asked_for: Annotated[dict[str, Any], Depends(from_query)],
    name: Annotated[Text | None, Query(description="Name of the data set. Default: the name of the file.")] = None,
) -> AsyncIterator[Upload | str]:
    """The archive in a local file, which is gone when the request is over; or the id of the data set that was made of
    the same upload before.

    Raises:
        UnsupportedMediaType, MalformedRequest, TooLarge, DiskFull, RequestValidationError: about the body.
        NotFound, UploadIncomplete, UploadLocked: about the upload that it names.
    """
    media_type, parameters = parse_options_header(request.headers.get("content-type"))
    if media_type == b"application/json":
        asked = await _read_json(request)
        async with _arrived(store, partials, caller.tenant, asked.upload_id) as (row, partial):
            if row.dataset_id is not None:
                yield row.dataset_id
            else:
                sha256 = await run_in_threadpool(partial.sha256)
                told = options(from_json(asked), asked_for, from_texts(metadata_of(row.upload_metadata), "header"))
                yield Upload(partial.path, asked.name or name or row.name, row.length, sha256, row.id, told)
    elif media_type == b"multipart/form-data":
        if b"boundary" not in parameters:
            raise MalformedRequest("The Content-Type has no boundary.", param="Content-Type")
        async with fresh(partials) as partial:
            form = Form(parameters[b"boundary"], bounded(partial, settings.max_upload_bytes), ("name", *OPTIONS))
            await pour(request, form.feed)
            form.finish()
            told = options(from_texts(form.values()), asked_for)
            yield _received(partial, form.name() or name, form.filename, told)
    elif media_type.decode("latin-1") in ARCHIVE_TYPES:
        async with fresh(partials) as partial:
            await pour(request, bounded(partial, settings.max_upload_bytes))
            _, disposition = parse_options_header(request.headers.get("content-disposition"))
            filename = disposition.get(b"filename", b"").decode(errors="replace")
            yield _received(partial, name, filename, options(asked_for))
    else:
        raise UnsupportedMediaType(
            "Send the archive as multipart/form-data, as the body, or as JSON with an `upload_id`.",
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
                f"{partial.offset:,} of {row.length:,} bytes have arrived.", hint="Send the rest with PATCH."
            )
        yield row, partial
        await run_in_threadpool(partial.remove)  # not where the request has failed: that raises where the yield stands


def _received(partial: PartialUpload, name: str | None, filename: str, told: ImportOptions) -> Upload:
    name = name or uploads.file_name(filename)
    return Upload(partial.path, name, partial.offset, partial.sha256(), options=told)


async def _read_json(request: Request) -> DatasetFromUpload:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _JSON_BYTES:
            raise TooLarge(f"This JSON may have at most {_JSON_BYTES:,} bytes.")
    try:
        return DatasetFromUpload.model_validate_json(bytes(body))
    except ValidationError as error:
        raise BodyInvalid(DatasetFromUpload, error) from error
