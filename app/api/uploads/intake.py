"""Receive the archive of `POST /v1/datasets`: a form, a bare archive, a completed resumable upload, or an address.

What is sent becomes one local file, received with bounded memory, hashed on the way, and deleted afterwards. What lies
at an address is fetched later, by an import worker.
"""

import hashlib
import json
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
from app.api.params import IdempotencyKey
from app.api.uploads.body_stream import bounded, fresh, pour
from app.api.uploads.multipart import Form
from app.api.uploads.options import OPTIONS, Said, from_json, from_query, from_texts, options
from app.api.uploads.tus import metadata_of
from app.db.engine import Store
from app.db.models import PartialRow
from app.domain.dataset import ImportOptions
from app.domain.errors import MalformedRequest, TooLarge, UnsupportedMediaType, UploadIncomplete
from app.domain.names import Text
from app.domain.sources import SourceUrl, file_name
from app.services import sources, uploads
from app.services.dataset_keys import RequestKey, find_earlier
from app.services.dataset_requests import Asked, Earlier
from app.services.datasets import Upload
from app.services.sources import Source
from app.settings import Settings
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


class DatasetFromAddress(Said):
    """Create a data set from an archive that the service fetches."""

    model_config = ConfigDict(extra="forbid")

    source_url: SourceUrl = Field(
        description="Where the archive lies: an https address that needs no sign-in (a signed one does not), or an "
        "object in a bucket that the operator has opened. It must be public, unless the operator allows it.",
        examples=["https://example.com/images.zip"],
    )
    name: Text | None = Field(default=None, description="Default: the last part of the address.")


async def receive_upload(
    request: Request,
    caller: CurrentCaller,
    settings: AppSettings,
    store: AppStore,
    partials: AppPartials,
    asked_for: Annotated[dict[str, Any], Depends(from_query)],
    name: Annotated[Text | None, Query(description="Name of the data set. Default: the name of the file.")] = None,
    idempotency_key: IdempotencyKey = None,
) -> AsyncIterator[Asked]:
    """What the data set is to be made of. An archive lies in a local file, which is gone when the request is over.

    Raises:
        UnsupportedMediaType, MalformedRequest, TooLarge, DiskFull, RequestValidationError: about the body.
        NotFound, UploadIncomplete, UploadLocked: about the upload that it names.
        DestinationRefused, BucketRefused: about the address that it names.
        IdempotencyKeyReused: if another request had this key.
    """
    media_type, parameters = parse_options_header(request.headers.get("content-type"))
    repeated = _Repeated(store, caller.tenant, idempotency_key)
    if media_type == b"application/json":
        body = await _read_json(request)
        said = options(from_json(body), asked_for)
        identity = body.model_dump(mode="json", include={"upload_id", "source_url"}) | {"name": body.name or name}
        asked = await repeated.find(identity, said)
        if asked is not None:
            yield asked
        elif isinstance(body, DatasetFromAddress):
            yield Asked(_source(settings, body, name, said), repeated.key(identity, said))
        else:
            async with _arrived(store, partials, caller.tenant, body.upload_id) as (row, partial):
                if row.dataset_id is not None:
                    yield Asked(Earlier(row.dataset_id))
                else:
                    sha256 = await run_in_threadpool(partial.sha256)
                    told = options(from_json(body), asked_for, from_texts(metadata_of(row.upload_metadata), "header"))
                    upload = Upload(partial.path, body.name or name or row.name, row.length, sha256, row.id, told)
                    yield Asked(upload, repeated.key(identity, said))
    elif media_type == b"multipart/form-data":
        if b"boundary" not in parameters:
            raise MalformedRequest("The Content-Type has no boundary.", param="Content-Type")
        async with fresh(partials) as partial:
            form = Form(parameters[b"boundary"], bounded(partial, settings.max_upload_bytes), ("name", *OPTIONS))
            await pour(request, form.feed)
            form.finish()
            told = options(from_texts(form.values()), asked_for)
            yield await repeated.asked(_received(partial, form.name() or name, form.filename, told))
    elif media_type.decode("latin-1") in ARCHIVE_TYPES:
        async with fresh(partials) as partial:
            await pour(request, bounded(partial, settings.max_upload_bytes))
            _, disposition = parse_options_header(request.headers.get("content-disposition"))
            filename = disposition.get(b"filename", b"").decode(errors="replace")
            yield await repeated.asked(_received(partial, name, filename, options(asked_for)))
    else:
        raise UnsupportedMediaType(
            "Send the archive as multipart/form-data, as the body, or as JSON with an `upload_id` or a `source_url`.",
            hint="Try: curl -F file=@images.zip …",
            param="Content-Type",
        )


# scope="function": the local copy is gone before the answer leaves
ReceivedUpload = Annotated[Asked, Depends(receive_upload, scope="function")]


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


class _Repeated:
    """Whether the same request was answered before, where it has an Idempotency-Key. The same is: the same file by its
    SHA-256, upload or address, under the same name, with the same options."""

    def __init__(self, store: Store, tenant: str, value: str | None) -> None:
        self._store, self._tenant, self._value = store, tenant, value

    def key(self, identity: dict[str, Any], said: ImportOptions) -> RequestKey | None:
        if self._value is None:
            return None
        content = json.dumps([identity, said.model_dump(mode="json")], sort_keys=True)
        return RequestKey(self._value, hashlib.sha256(content.encode()).hexdigest())

    async def find(self, identity: dict[str, Any], said: ImportOptions) -> Asked | None:
        """
        Raises:
            IdempotencyKeyReused: if another request had this key.
        """
        key = self.key(identity, said)
        if key is None:
            return None

        def look() -> str | None:
            with self._store.read() as session:
                return find_earlier(session, self._tenant, key)

        earlier = await run_in_threadpool(look)
        return None if earlier is None else Asked(Earlier(earlier, replayed=True), key)

    async def asked(self, upload: Upload) -> Asked:
        """For an archive that has come with the request."""
        identity = {"sha256": upload.sha256, "name": upload.name}
        earlier = await self.find(identity, upload.options)
        return earlier or Asked(upload, self.key(identity, upload.options))


def _source(settings: Settings, body: DatasetFromAddress, name: str | None, said: ImportOptions) -> Source:
    sources.require_allowed(settings.destinations, settings.buckets, body.source_url)
    named = body.name or name or uploads.file_name(file_name(body.source_url))
    return Source(body.source_url, named, said)


def _received(partial: PartialUpload, name: str | None, filename: str, told: ImportOptions) -> Upload:
    name = name or uploads.file_name(filename)
    return Upload(partial.path, name, partial.offset, partial.sha256(), options=told)


async def _read_json(request: Request) -> DatasetFromUpload | DatasetFromAddress:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _JSON_BYTES:
            raise TooLarge(f"This JSON may have at most {_JSON_BYTES:,} bytes.")
    wanted = DatasetFromAddress if _names_address(bytes(body)) else DatasetFromUpload
    try:
        return wanted.model_validate_json(bytes(body))
    except ValidationError as error:
        raise BodyInvalid(wanted, error) from None  # which would tell the address with its secrets


def _names_address(body: bytes) -> bool:
    try:
        return "source_url" in json.loads(body)
    except (ValueError, TypeError, RecursionError):
        return False
