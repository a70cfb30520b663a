"""The reference, for programs and for people: Swagger UI, served from here. A page on which keys are typed runs nobody
else's scripts."""

import hashlib
import json
import threading
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple

from fastapi import APIRouter, FastAPI, Header, Request, Response
from fastapi.responses import HTMLResponse
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from app.api.preconditions import matches

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# its addresses are relative, for a proxy that serves it below a path
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>tdmr reference</title>
<link rel="icon" href="docs/favicon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/reference.js"></script>
</body>
</html>
"""

router = APIRouter()
_MAKING = threading.Lock()


class _Document(NamedTuple):
    """The OpenAPI document as it is sent."""

    body: bytes
    etag: str


@lru_cache(maxsize=1)
def _document(app: FastAPI) -> _Document:
    body = json.dumps(app.openapi(), ensure_ascii=False, separators=(",", ":")).encode()
    return _Document(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


@router.get("/openapi.json", include_in_schema=False)
def openapi_document(request: Request, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    with _MAKING:  # takes a second, once
        document = _document(request.app)
    headers = {"ETag": document.etag, "Cache-Control": "no-cache"}
    if matches(if_none_match, document.etag):
        return Response(status_code=304, headers=headers)
    return Response(document.body, media_type="application/json", headers=headers)


@router.get("/docs", include_in_schema=False)
async def reference() -> HTMLResponse:
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


# fastapi-offline is used for the files that it carries, those of a released Swagger UI
files = Mount(
    "/docs", StaticFiles(directory=Path(__file__).parents[1] / "static", packages=[("fastapi_offline", "static")])
)
