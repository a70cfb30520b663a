"""Download the files of a job, one by one or all in one zip."""

import base64
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse

from app.api import downloads
from app.api.deps import AppBlobs, CurrentCaller, ReadSession
from app.api.downloads import AsDownload, Download
from app.api.openapi import problems
from app.api.schemas import ArtifactRead, ListPage
from app.db.models import Artifact
from app.domain.errors import NotFound
from app.services import archives, artifacts
from app.storage import published
from app.storage.blobs import Blobs

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


@router.get("/artifacts", operation_id="list_job_artifacts", summary="List the files", responses=problems(NotFound))
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
    responses=downloads.HEAD_RESPONSES,
)
def head_artifact(
    job_id: str,
    name: str,
    request: Request,
    caller: CurrentCaller,
    session: ReadSession,
    blobs: AppBlobs,
    download: AsDownload = False,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The headers of the GET request, without a body."""
    return downloads.answer(request, _file(artifacts.find(session, caller.tenant, job_id, name), blobs, download))


@router.get(
    "/artifacts/{name:path}",
    operation_id="download_job_artifact",
    summary="Download a file",
    response_class=StreamingResponse,
    responses=downloads.GET_RESPONSES,
)
def download_artifact(
    job_id: str,
    name: str,
    request: Request,
    caller: CurrentCaller,
    session: ReadSession,
    blobs: AppBlobs,
    download: AsDownload = False,
    range_: Range = None,
    if_range: IfRange = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """A slash in the name is part of the path. A browser shows the model card, the report and the figures, and saves
    the other files. A published file never changes, so an interrupted download can be resumed with Range
    (`curl -C -`)."""
    return downloads.answer(request, _file(artifacts.find(session, caller.tenant, job_id, name), blobs, download))


def _file(artifact: Artifact, blobs: Blobs, save: bool) -> Download:
    digest, stored = base64.b64encode(bytes.fromhex(artifact.sha256)).decode(), artifacts.stored(artifact)
    return Download(
        # what saves the file would drop a folder, and one student's file would overwrite another's
        name=artifact.name.replace("/", "-"),
        size=artifact.bytes,
        etag=f'"{artifact.sha256}"',
        media_type=artifact.media_type,
        save=save,
        require=partial(published.require, blobs, stored),
        read=partial(published.read, blobs, stored),
        digests={
            "Repr-Digest": f"sha-256=:{digest}:",
            "Digest": f"sha-256={digest}",  # as it was called before RFC 9530
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
