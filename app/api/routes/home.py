"""`/` for programs: where they find what they need. People get a page (`app/pages/home.py`)."""

from importlib.metadata import version

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse

from app.api.query import require_known_query
from app.api.short_paths import PREFIX

LINKS = {
    "Vary": "Accept",
    # relation types of RFC 8631
    "Link": '<openapi.json>; rel="service-desc"; type="application/json", <docs>; rel="service-doc"; type="text/html"',
}

router = APIRouter(dependencies=[Depends(require_known_query)])


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
async def home() -> Response:
    described = {"name": "tdmr", "version": version("tdmr"), "openapi": "/openapi.json", "docs": "/docs", "api": PREFIX}
    return JSONResponse(described, headers=LINKS)
