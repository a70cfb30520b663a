"""`/`: points people and programs to where they want to go."""

import base64
import hashlib
from importlib.metadata import version

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from app.api.query import require_known_query
from app.api.short_paths import PREFIX, prefers_html

STYLE = (
    "body{font:16px/1.6 system-ui,sans-serif;max-width:40rem;margin:10vh auto;padding:0 1rem;color:#222}"
    "code{background:#f2f2f2;padding:.1em .3em;border-radius:3px}"
    "@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}code{background:#2a2a2a}a{color:#8ab4f8}}"
)
# its addresses are relative, for a proxy that serves it below a path
PAGE = f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>tdmr</title>
<link rel="icon" href="docs/favicon.png">
<style>{STYLE}</style>
</head>
<body>
<h1>tdmr</h1>
<p>Trains a small model that your device can run from your labelled images, and exports it ready to deploy.</p>
<ul>
<li><a href="docs">Reference</a>: every request, to read and to try</li>
<li><a href="openapi.json">openapi.json</a>: the same for programs</li>
<li><a href="readyz">readyz</a>: whether the service and its workers are up</li>
</ul>
<p>Create a job with <code>POST /jobs</code>, follow it with <code>GET /jobs/{{id}}</code>.</p>
</body>
</html>
"""
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
LINKS = {
    "Vary": "Accept",
    # relation types of RFC 8631
    "Link": '<openapi.json>; rel="service-desc"; type="application/json", <docs>; rel="service-doc"; type="text/html"',
}

router = APIRouter(dependencies=[Depends(require_known_query)])


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
async def home(request: Request) -> Response:
    if prefers_html(request.headers.get("accept", "")):
        return HTMLResponse(PAGE, headers=LINKS | {"Content-Security-Policy": CONTENT_SECURITY_POLICY})
    described = {"name": "tdmr", "version": version("tdmr"), "openapi": "/openapi.json", "docs": "/docs", "api": PREFIX}
    return JSONResponse(described, headers=LINKS)
