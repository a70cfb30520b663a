"""Files as answers: conditional, in parts, resumable (RFC 9110)."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Query, Request
from fastapi.responses import Response, StreamingResponse

from app.api.openapi import BINARY, DOWNLOAD, problems
from app.api.preconditions import is_strong, matches, matches_strongly, parse_range
from app.api.problems import problem_response
from app.domain.errors import (
    FileLost,
    FilesDeleted,
    NotFound,
    PreconditionFailed,
    PreviewGone,
    PreviewNotReady,
    RangeNotSatisfiable,
    StudentRequired,
)

# a file has its own media type; generators of clients know bytes by this one
_BYTES = {media_type: {"schema": BINARY} for media_type in ("application/octet-stream", "*/*")}
_NOT_MODIFIED = {"description": "You have this file already.", "headers": DOWNLOAD}
HEAD_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "As for GET, without the bytes.", "headers": DOWNLOAD},
    304: _NOT_MODIFIED,
    **problems(NotFound, FileLost, FilesDeleted, PreconditionFailed),
}
GET_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file.", "content": _BYTES, "headers": DOWNLOAD},
    206: {
        "description": "The range asked for.",
        "content": _BYTES,
        "headers": DOWNLOAD | {"Content-Range": {"schema": {"type": "string"}, "description": "bytes 0-99/12345"}},
    },
    304: _NOT_MODIFIED,
    **problems(NotFound, FileLost, FilesDeleted, PreconditionFailed, RangeNotSatisfiable),
}
INLINE = re.compile(r"text/.*|application/json|image/(png|jpeg|webp|svg\+xml)")
"""What a browser shows. Whatever a name in it might smuggle in, nothing of it runs, loads or sends anything."""
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)
AsDownload = Annotated[bool, Query(description="Have a browser save the file, where it would show it.")]

_PREVIEW_PROBLEMS = (FileLost, FilesDeleted, PreviewGone, PreviewNotReady, StudentRequired)
OF_A_FILE_HEAD = HEAD_RESPONSES | problems(NotFound, PreconditionFailed, *_PREVIEW_PROBLEMS)
"""A file may be a preview."""
OF_A_FILE_GET = GET_RESPONSES | problems(NotFound, PreconditionFailed, RangeNotSatisfiable, *_PREVIEW_PROBLEMS)


@dataclass(frozen=True)
class Download:
    """A file whose bytes never change under its ETag."""

    name: str
    """To save it under; no folder in it."""
    size: int
    """In bytes."""
    etag: str
    media_type: str
    require: Callable[[], None]
    """Raises what `read` would raise."""
    read: Callable[[int, int], Iterator[bytes]]
    """From a byte on, so many, in pieces."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Headers that tell its hash, where that is known before it is read."""
    save: bool = False
    """Whether a browser is to save it even if it can show it."""

    @property
    def headers(self) -> dict[str, str]:
        shown = not self.save and INLINE.fullmatch(self.media_type) is not None
        return {
            "ETag": self.etag,
            "Accept-Ranges": "bytes",
            **self.digests,
            "Content-Disposition": disposition(self.name, save=not shown),
            "Cache-Control": "private, no-cache",
            "X-Content-Type-Options": "nosniff",
            **({"Content-Security-Policy": PAGE_POLICY} if shown else {}),
        }


def disposition(name: str, *, save: bool) -> str:
    """The header that says whether a browser saves or shows a file, and its name."""
    quoted = quote(name)
    plain = f'filename="{name}"; ' if quoted == name else ""  # curl -J knows no other form
    return f"{'attachment' if save else 'inline'}; {plain}filename*=UTF-8''{quoted}"


def answer(request: Request, file: Download) -> Response:
    """To a GET or HEAD, by the request's If-Match, If-None-Match, If-Range and Range, in that order."""
    headers = file.headers
    if_match, if_none_match, if_range = (_joined(request, name) for name in ("If-Match", "If-None-Match", "If-Range"))
    if if_match is not None and not matches_strongly(if_match, file.etag):
        hint = "Restart the download without If-Match."
        return problem_response(
            PreconditionFailed(PreconditionFailed.example, hint=hint, param="If-Match"), request.url.path
        )
    if matches(if_none_match, file.etag):
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD":  # for which Range means nothing
        file.require()
        return Response(headers=headers | {"Content-Length": str(file.size)}, media_type=file.media_type)
    # an If-Range that is a date names no file of ours: they have no Last-Modified
    unchanged = if_range is None or (is_strong(file.etag) and if_range.strip() == file.etag)
    try:
        wanted = parse_range(request.headers.get("Range"), file.size) if unchanged else None
    except RangeNotSatisfiable as error:
        return problem_response(error, request.url.path, headers={"Content-Range": f"bytes */{file.size}"})
    start, length = (wanted.start, wanted.end - wanted.start + 1) if wanted else (0, file.size)
    headers["Content-Length"] = str(length)
    if wanted:
        headers["Content-Range"] = f"bytes {wanted.start}-{wanted.end}/{file.size}"
    return StreamingResponse(file.read(start, length), 206 if wanted else 200, headers, media_type=file.media_type)


def _joined(request: Request, name: str) -> str | None:
    """A list may come in several lines."""
    lines = request.headers.getlist(name)
    return ", ".join(lines) if lines else None
