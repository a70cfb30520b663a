"""Resumable uploads, as tus has them."""

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api import tus
from app.api.deps import AppPartials, AppSettings, AppStore, CurrentCaller, ReadSession, WriteSession, address_of
from app.api.openapi import LOCATION, UPLOAD_BODY, UPLOAD_OFFERS, UPLOAD_PROGRESS, UPLOAD_STATE, problems
from app.api.reception import append
from app.db.upload_models import PartialRow
from app.request_id import current_request_id
from app.services import audit, uploads

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])
speaks_tus = Depends(tus.require_version)


@router.options(
    "",
    operation_id="describe_uploads",
    summary="What this server knows of tus",
    status_code=204,
    responses={204: {"headers": UPLOAD_OFFERS}},
)
def describe_uploads(caller: CurrentCaller, settings: AppSettings, response: Response) -> None:
    """Version, extensions, the largest upload and the checksums."""
    response.headers["Tus-Version"] = tus.VERSION
    response.headers["Tus-Extension"] = tus.EXTENSIONS
    response.headers["Tus-Max-Size"] = str(settings.max_upload_bytes)
    response.headers["Tus-Checksum-Algorithm"] = ",".join(tus.CHECKSUM_ALGORITHMS)


@router.post(
    "",
    operation_id="create_upload",
    summary="Begin a resumable upload",
    status_code=201,
    response_class=Response,
    dependencies=[speaks_tus],
    responses={201: {"headers": LOCATION | UPLOAD_PROGRESS}, **problems(400, 409, 412, 413, 415, 423, 460, 507)},
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
    response: Response,
) -> None:
    """Any tus client does. The answer's `Location` takes the bytes; the last part of it is the `upload_id` for
    `POST /v1/datasets`. What nobody adds to expires. A body of `application/offset+octet-stream` is taken at once."""
    has_body = request.headers.get("content-type") is not None
    if has_body:
        tus.require_body_type(request)

    def create() -> PartialRow:
        with store.write() as session:
            upload = uploads.create(session, settings, caller.tenant, new)
            request_id, address = current_request_id(), address_of(request)
            audit.record(session, caller, "create_upload", upload.id, request_id=request_id, address=address)
        return upload

    def discard() -> None:
        with store.write() as session:
            uploads.delete(session, partials, caller.tenant, upload.id)

    upload, offset = await run_in_threadpool(create), 0
    if has_body:
        try:  # the row is there before its first byte, and no transaction is open while bytes move
            offset = await append(request, store, settings, partials, upload, 0, checksum)
        except Exception:
            await run_in_threadpool(discard)  # nobody learns where it is
            raise
    response.headers["Location"] = f"{router.prefix}/{upload.id}"
    response.headers.update(tus.progress_headers(upload, offset))


@router.head(
    "/{upload_id}",
    operation_id="get_upload",
    summary="How far an upload is",
    response_class=Response,
    dependencies=[speaks_tus],
    responses={200: {"headers": UPLOAD_PROGRESS | UPLOAD_STATE}, **problems(404, 412)},
)
def get_upload(
    upload_id: str, caller: CurrentCaller, session: ReadSession, partials: AppPartials, response: Response
) -> None:
    """`Upload-Offset` bytes have arrived and are kept: go on from there."""
    upload = uploads.find(session, caller.tenant, upload_id)
    response.headers.update(tus.progress_headers(upload, uploads.offset(partials, upload)))
    response.headers["Upload-Length"] = str(upload.length)
    response.headers["Cache-Control"] = "no-store"
    if upload.upload_metadata:
        response.headers["Upload-Metadata"] = upload.upload_metadata


@router.patch(
    "/{upload_id}",
    operation_id="append_to_upload",
    summary="Send the next piece",
    status_code=204,
    dependencies=[speaks_tus],
    responses={
        204: {"headers": UPLOAD_PROGRESS},
        **problems(400, 404, 409, 412, 413, 415, 423, 460, 507),
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
    response: Response,
) -> None:
    """From the byte that `Upload-Offset` says, which must be where the upload stands; of any length. If it breaks off,
    what has come is kept, unless an `Upload-Checksum` was sent: then all of the piece counts or nothing."""
    tus.require_body_type(request)

    def find() -> PartialRow:
        with store.read() as session:
            return uploads.find(session, caller.tenant, upload_id)

    upload = await run_in_threadpool(find)
    uploads.require_open(upload)
    arrived = await append(request, store, settings, partials, upload, offset, checksum)
    response.headers.update(tus.progress_headers(upload, arrived))


@router.delete(
    "/{upload_id}",
    operation_id="delete_upload",
    summary="Give an upload up",
    status_code=204,
    dependencies=[speaks_tus],
    responses=problems(404, 412, 423),
)
def delete_upload(upload_id: str, caller: CurrentCaller, session: WriteSession, partials: AppPartials) -> None:
    """Its bytes are gone. A data set that was made of it stays."""
    uploads.delete(session, partials, caller.tenant, upload_id)
