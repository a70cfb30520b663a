"""Download the files of a job, one by one or all in one zip."""

import base64
from collections.abc import Mapping
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from sqlalchemy.orm import Session

from app.api import downloads
from app.api.deps import AppBlobs, AppStore, CurrentCaller, ReadSession
from app.api.downloads import AsDownload, Download
from app.api.openapi import problems
from app.api.previews import wanting_preview
from app.api.schemas.common import ListPage
from app.api.schemas.results import ArtifactRead
from app.db.engine import Store
from app.db.models import Artifact
from app.domain.errors import FilesDeleted, NotFound
from app.domain.previews import PREVIEW_ONNX, is_preview
from app.services import archives, artifacts, previews
from app.services.previews import Preview
from app.storage import published
from app.storage.blobs import Blobs
from app.storage.published import StoredFile

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"])

Range = Annotated[
    str | None, Header(alias="Range", description="One range, for example `bytes=0-99`, to resume a download.")
]
IfRange = Annotated[str | None, Header(description="Send the range only if the file still has this ETag.")]
IfNoneMatch = Annotated[str | None, Header(description="The ETag of your copy.")]
OfStudent = Annotated[
    str | None,
    Query(description="Only this student's files, named as in a job with one student. Default: all files."),
]


@router.get(
    "/artifacts",
    operation_id="list_job_artifacts",
    summary="List the files",
    responses=problems(NotFound, FilesDeleted),
)
def list_artifacts(job_id: str, caller: CurrentCaller, session: ReadSession) -> ListPage[ArtifactRead]:
    """All files by name; none until the job has succeeded. With `students`, each student's files start with its name,
    for example `<student>/student.onnx`; `manifest.json` describes all of them."""
    rows = artifacts.listing(session, caller.tenant, job_id)
    names = [row.name for row in rows]
    return ListPage[ArtifactRead].from_items(map(ArtifactRead.from_row, rows), names, has_more=False)


# Beside /artifacts and not below it, where every path is a file's name.
@router.head(
    "/artifacts.zip",
    operation_id="head_job_archive",
    summary="Get the size of the zip",
    response_class=Response,
    responses=downloads.HEAD_RESPONSES,
)
def head_archive(
    job_id: str,
    request: Request,
    caller: CurrentCaller,
    session: ReadSession,
    blobs: AppBlobs,
    student: OfStudent = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The headers of the GET request, without a body."""
    return downloads.answer(request, _zip(archives.find(session, caller.tenant, job_id, student), blobs))


@router.get(
    "/artifacts.zip",
    operation_id="download_job_archive",
    summary="Download all files in one zip",
    response_class=StreamingResponse,
    responses=downloads.GET_RESPONSES,
)
def download_archive(
    job_id: str,
    request: Request,
    caller: CurrentCaller,
    session: ReadSession,
    blobs: AppBlobs,
    student: OfStudent = None,
    range_: Range = None,
    if_range: IfRange = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Created while it is sent, without compression, since weights hardly compress. Its bytes are the same each time,
    so a download can be resumed with Range."""
    return downloads.answer(request, _zip(archives.find(session, caller.tenant, job_id, student), blobs))


@router.head(
    "/artifacts/{name:path}",
    operation_id="head_job_artifact",
    summary="Get the size and digest of a file",
    response_class=Response,
    responses=downloads.OF_A_FILE_HEAD,
)
def head_artifact(
    job_id: str,
    name: str,
    request: Request,
    caller: CurrentCaller,
    session: ReadSession,
    store: AppStore,
    blobs: AppBlobs,
    download: AsDownload = False,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The headers of the GET request, without a body."""
    return downloads.answer(request, _named(session, store, blobs, caller.tenant, job_id, name, download))


@router.get(
    "/artifacts/{name:path}",
    operation_id="download_job_artifact",
    summary="Download a file",
    response_class=StreamingResponse,
    responses=downloads.OF_A_FILE_GET,
)
def download_artifact(
    job_id: str,
    name: str,
    request: Request,
    caller: CurrentCaller,
    session: ReadSession,
    store: AppStore,
    blobs: AppBlobs,
    download: AsDownload = False,
    range_: Range = None,
    if_range: IfRange = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """A slash in the name is part of the path. A browser shows the model card, the report and the figures, and saves
    the other files. A published file never changes, so an interrupted download can be resumed with Range
    (`curl -C -`).

    While the job trains, `student.preview.safetensors` and `student.preview.onnx` (with `students`,
    `<student>/student.preview.onnx`) are the student of the moment, at its latest validation; the headers
    `Preview-Step`, `Preview-Steps` and `Preview-Accuracy` say what it is. The ONNX file is made when it is first asked
    for: 409 until then."""
    return downloads.answer(request, _named(session, store, blobs, caller.tenant, job_id, name, download))


def _named(session: Session, store: Store, blobs: Blobs, tenant: str, job_id: str, name: str, save: bool) -> Download:
    if not is_preview(name):
        return _file(artifacts.find(session, tenant, job_id, name), blobs, save)
    folder, _, file = name.rpartition("/")
    student = folder or None
    if file != PREVIEW_ONNX:
        return _preview(previews.find(session, tenant, job_id, student, file), name, blobs)
    with wanting_preview(store, tenant, job_id, student) as wanted:
        preview = previews.find(session, tenant, job_id, student, file)
        wanted.is_outdated = preview.is_outdated
    return _preview(preview, name, blobs)


def _preview(preview: Preview, name: str, blobs: Blobs) -> Download:
    told: dict[str, str] = {}
    mark = preview.mark
    if mark is not None:
        told = {"Preview-Step": str(mark.step), "Preview-Steps": str(mark.steps)}
        if mark.val_accuracy is not None:
            told["Preview-Accuracy"] = f"{mark.val_accuracy:.4f}"
    return _stored(preview.stored, name, previews.MEDIA_TYPE, blobs, told, save=True)


def _file(artifact: Artifact, blobs: Blobs, save: bool) -> Download:
    return _stored(artifacts.stored(artifact), artifact.name, artifact.media_type, blobs, {}, save)


def _stored(
    file: StoredFile, name: str, media_type: str, blobs: Blobs, told: Mapping[str, str], save: bool
) -> Download:
    """`told`: headers that say what it is."""
    digest = base64.b64encode(bytes.fromhex(file.sha256)).decode()
    return Download(
        # what saves the file would drop a folder, and one student's file would overwrite another's
        name=name.replace("/", "-"),
        size=file.bytes,
        etag=f'"{file.sha256}"',
        media_type=media_type,
        save=save,
        require=partial(published.require, blobs, file),
        read=partial(published.read, blobs, file),
        digests={
            "Repr-Digest": f"sha-256=:{digest}:",
            "Digest": f"sha-256={digest}",  # as it was called before RFC 9530
            **told,
        },
    )


def _zip(archive: archives.Archive, blobs: Blobs) -> Download:
    return Download(
        name=archive.name,
        size=archive.bytes,
        etag=f'"{archive.fingerprint}"',
        media_type="application/zip",
        require=partial(archives.require, blobs, archive),
        read=partial(archives.read, blobs, archive),
    )
