"""Resumable uploads with the tus protocol."""

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api.deps import AppPartials, AppSettings, AppStore, CurrentCaller, ReadSession, Revalidate, WriteSession
from app.api.openapi import LOCATION, UPLOAD_BODY, UPLOAD_OFFERS, UPLOAD_PROGRESS, UPLOAD_STATE, problems
from app.api.uploads import tus
from app.api.uploads.body_stream import append
from app.db.models import PartialRow
from app.domain.errors import (
    BytesQuotaExceeded,
    ChecksumMismatch,
    DiskFull,
    MalformedRequest,
    NotFound,
    OffsetMismatch,
    TooLarge,
    UnsupportedMediaType,
    UnsupportedTusVersion,
    UploadComplete,
    UploadLocked,
)
from app.services import uploads

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])
_WRITING = (
    MalformedRequest,
    UnsupportedTusVersion,
    TooLarge,
    UnsupportedMediaType,
    UploadLocked,
    ChecksumMismatch,
    DiskFull,
)
"""What may go wrong with a piece of an upload."""
speaks_tus = Depends(tus.require_version)


@router.options(
    "",
    operation_id="describe_uploads",
    summary="Describe the tus support",
    status_code=204,
    responses={204: {"headers": UPLOAD_OFFERS}},
)
def describe_uploads(caller: CurrentCaller, settings: AppSettings, response: Response) -> None:
    """The supported version, extensions, checksums and the largest upload, as headers."""
    response.headers["Tus-Version"] = tus.VERSION
    response.headers["Tus-Extension"] = tus.EXTENSIONS
    response.headers["Tus-Max-Size"] = str(settings.max_upload_bytes)
    response.headers["Tus-Checksum-Algorithm"] = ",".join(tus.CHECKSUM_ALGORITHMS)


@router.post(
    "",
    operation_id="create_upload",
    summary="Create a resumable upload",
    status_code=201,
    response_class=Response,
    dependencies=[speaks_tus],
    responses={201: {"headers": LOCATION | UPLOAD_PROGRESS}, **problems(*_WRITING, BytesQuotaExceeded, UploadComplete)},
    openapi_extra=UPLOAD_BODY,
)
async def create_upload(
    request: Request,
    caller: CurrentCaller,
    new: tus.NewUploadHeaders,
    checksum: tus.BodyChecksum,
    settings: AppSettings,
    store: AppStore,
    partials: AppPartials,
    revalidate: Revalidate,
    response: Response,
) -> None:
    """Works with any tus client. Send the bytes to `Location`; its last part is the `upload_id` for
    `POST /v1/datasets`. An upload that receives no data for 24 h (TDMR_KEEP_UPLOAD_HOURS) is deleted. A body of
    `application/offset+octet-stream` is stored as the first piece."""
    has_body = request.headers.get("content-type") is not None
    if has_body:
        tus.require_body_type(request)

    def create() -> PartialRow:
        with store.write() as session:
            return uploads.create(session, settings, caller, new)

    def discard() -> None:
        with store.write() as session:
            uploads.discard(session, partials, upload)

    upload, offset = await run_in_threadpool(create), 0
    if has_body:
        try:  # the row is there before its first byte, and no transaction is open while bytes move
            offset = await append(request, store, settings, partials, upload, 0, checksum, revalidate)
        except Exception:
            await run_in_threadpool(discard)  # nobody learns where it is
            raise
    response.headers["Location"] = f"{router.prefix}/{upload.id}"
    response.headers.update(tus.progress_headers(upload, offset))


@router.head(
    "/{upload_id}",
    operation_id="get_upload",
    summary="Get the progress of an upload",
    response_class=Response,
    dependencies=[speaks_tus],
    responses={200: {"headers": UPLOAD_PROGRESS | UPLOAD_STATE}, **problems(NotFound, UnsupportedTusVersion)},
)
def get_upload(
    upload_id: str, caller: CurrentCaller, session: ReadSession, partials: AppPartials, response: Response
) -> None:
    """`Upload-Offset` is the number of bytes that have arrived: continue from there."""
    upload = uploads.find(session, caller.tenant, upload_id)
    response.headers.update(tus.progress_headers(upload, uploads.offset(partials, upload)))
    response.headers["Upload-Length"] = str(upload.length)
    response.headers["Cache-Control"] = "no-store"
    if upload.upload_metadata:
        response.headers["Upload-Metadata"] = upload.upload_metadata


@router.patch(
    "/{upload_id}",
    operation_id="append_to_upload",
    summary="Append to an upload",
    status_code=204,
    dependencies=[speaks_tus],
    responses={
        204: {"headers": UPLOAD_PROGRESS},
        **problems(NotFound, OffsetMismatch, UploadComplete, *_WRITING),
    },
    openapi_extra=UPLOAD_BODY,
)
async def append_to_upload(
    upload_id: str,
    request: Request,
    caller: CurrentCaller,
    offset: tus.UploadOffset,
    checksum: tus.BodyChecksum,
    settings: AppSettings,
    store: AppStore,
    partials: AppPartials,
    revalidate: Revalidate,
    response: Response,
) -> None:
    """Send a piece of any length. `Upload-Offset` must equal the number of bytes that have arrived. If the request is
    interrupted, the bytes that arrived are kept, unless `Upload-Checksum` was sent: then the piece is kept as a whole
    or discarded."""
    tus.require_body_type(request)

    def find() -> PartialRow:
        with store.read() as session:
            return uploads.find(session, caller.tenant, upload_id)

    upload = await run_in_threadpool(find)
    uploads.require_open(upload)
    arrived = await append(request, store, settings, partials, upload, offset, checksum, revalidate)
    response.headers.update(tus.progress_headers(upload, arrived))


@router.delete(
    "/{upload_id}",
    operation_id="delete_upload",
    summary="Delete an upload",
    status_code=204,
    dependencies=[speaks_tus],
    responses=problems(NotFound, UnsupportedTusVersion, UploadLocked),
)
def delete_upload(upload_id: str, caller: CurrentCaller, session: WriteSession, partials: AppPartials) -> None:
    """Deletes its bytes. A data set created from it stays."""
    uploads.delete(session, partials, caller, upload_id)
