"""The tus resumable upload protocol, version 1.0.0 (https://tus.io/protocols/resumable-upload): its headers."""

import base64
import binascii
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Annotated

from fastapi import Depends, Header, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.deps import CurrentCaller
from app.api.uploads.options import from_texts
from app.db.models import PartialRow
from app.domain.errors import MalformedRequest, UnsupportedMediaType, UnsupportedTusVersion
from app.services.uploads import NewUpload, file_name

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,checksum,termination"
CHECKSUM_ALGORITHMS = ("sha1", "sha256")
BODY_TYPE = "application/offset+octet-stream"
_MAX_METADATA_CHARACTERS = 4096
_MAX_BYTES = 2**63 - 1


class Tus:
    """Says `Tus-Resumable` in every answer under a path, and takes another method from X-HTTP-Method-Override: both
    are in the core protocol."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self.app, self.path = app, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(f"{self.path}/"):
            await self.app(scope, receive, send)
            return

        async def send_with_version(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Tus-Resumable"] = VERSION
                if message["status"] == 412:
                    headers["Tus-Version"] = VERSION
            await send(message)

        if (method := Headers(scope=scope).get("x-http-method-override")) and scope["method"] == "POST":
            scope["method"] = method.upper()
        await self.app(scope, receive, send_with_version)


async def require_version(
    caller: CurrentCaller,
    tus_resumable: Annotated[
        str,
        Header(alias="Tus-Resumable", description="The version of tus.", json_schema_extra={"enum": [VERSION]}),
    ] = "",
) -> None:
    """
    Raises:
        UnsupportedTusVersion: whatever else is wrong with the request.
    """
    if tus_resumable != VERSION:
        raise UnsupportedTusVersion(
            "Tus-Resumable is missing or names another version.",
            hint=f"Send Tus-Resumable: {VERSION}.",
            param="Tus-Resumable",
        )


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the body of one request has to hash to."""

    algorithm: str
    digest: bytes


async def read_checksum(
    upload_checksum: Annotated[
        str | None,
        Header(alias="Upload-Checksum", description="`sha1` or `sha256`, a space, and the Base64 digest of the body."),
    ] = None,
) -> Checksum | None:
    """
    Raises:
        MalformedRequest: also for an algorithm that is not known here.
    """
    if upload_checksum is None:
        return None
    algorithm, _, encoded = upload_checksum.partition(" ")
    if algorithm not in CHECKSUM_ALGORITHMS:
        raise MalformedRequest(
            f"Unknown algorithm; this server supports {', '.join(CHECKSUM_ALGORITHMS)}.", param="Upload-Checksum"
        )
    return Checksum(algorithm, _decode(encoded, "Upload-Checksum"))


async def read_new_upload(
    upload_length: Annotated[
        int, Header(alias="Upload-Length", ge=0, le=_MAX_BYTES, description="Size of the whole upload in bytes.")
    ],
    upload_metadata: Annotated[
        str,
        Header(
            alias="Upload-Metadata",
            max_length=_MAX_METADATA_CHARACTERS,
            description="Pairs of a key and a Base64 value; `filename` or `name` becomes the name of the data set, and "
            "`layout`, `encoding`, `labels_column`, `unlabelled_classes` and `stretch` tell about the archive.",
        ),
    ] = "",
) -> NewUpload:
    """
    Raises:
        MalformedRequest: about the metadata.
    """
    pairs = metadata_of(upload_metadata)
    from_texts(pairs, "header")  # what is said of the archive is refused before its bytes are sent
    name = file_name(pairs.get("name") or pairs.get("filename", ""))
    return NewUpload(upload_length, name, upload_metadata)


def metadata_of(header: str) -> dict[str, str]:
    """The pairs of Upload-Metadata.

    Raises:
        MalformedRequest: a value is not Base64.
    """
    pairs = {}
    for pair in filter(None, map(str.strip, header.split(","))):
        key, _, encoded = pair.partition(" ")
        pairs[key] = _decode(encoded, "Upload-Metadata").decode(errors="replace")
    return pairs


def require_body_type(request: Request) -> None:
    """
    Raises:
        UnsupportedMediaType: unless the body is a piece of an upload.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != BODY_TYPE:
        raise UnsupportedMediaType(f"Send pieces of an upload as {BODY_TYPE}.", param="Content-Type")


def progress_headers(upload: PartialRow, offset: int) -> dict[str, str]:
    """Of an answer that says how far an upload is."""
    return {"Upload-Offset": str(offset), "Upload-Expires": format_datetime(upload.expires_at, usegmt=True)}


def _decode(encoded: str, param: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedRequest("The value is not valid Base64.", param=param) from error


UploadOffset = Annotated[
    int,
    Header(
        alias="Upload-Offset",
        ge=0,
        le=_MAX_BYTES,
        description="Position of the body in the upload: the number of bytes that have arrived.",
    ),
]
BodyChecksum = Annotated[Checksum | None, Depends(read_checksum)]
NewUploadHeaders = Annotated[NewUpload, Depends(read_new_upload)]
