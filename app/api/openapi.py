"""The OpenAPI document, completed: every answer that can come, problems included, in the shape it comes in."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from app.api.problems import PROBLEM_JSON, Problem, problem_type

DESCRIPTION = """\
Turns your labelled images and the network your device can run into a trained, small, deployable model.

A frozen vision foundation model (the *teacher*) is reprogrammed to your task once; a small *student* is then distilled
from it step by step. Upload a data set, wait until it is `ready`, create a job, poll it, download the student.

Send a key as `Authorization: Bearer tdmr_…`: its scope `read` looks, `write` changes, `admin` manages keys. `RateLimit`
and `RateLimit-Policy` in the answers tell how many requests are left of a minute's.

Whatever goes wrong is told as `application/problem+json` (RFC 9457): what happened, and what to do.
"""
TAGS = [
    {"name": "uploads", "description": "Large archives over bad lines: resumable, by the protocol tus 1.0.0."},
    {"name": "datasets", "description": "Archives of labelled images."},
    {"name": "catalogue", "description": "Teachers and students that the running workers can build."},
    {"name": "jobs", "description": "Create, look, cancel."},
    {"name": "results", "description": "Events, curves, evaluation and files of a job."},
    {"name": "access", "description": "Keys, and who changed what. Needs the scope `admin`."},
    {"name": "health", "description": "For whoever runs the service."},
]

_EXAMPLES: dict[int, tuple[str, str, str, str]] = {
    # status: what it means here, code, title, detail
    400: ("The request cannot be read.", "malformed_request", "The request cannot be read", "The body is not JSON."),
    401: ("No key, or not a valid one.", "unauthorized", "A valid API key is needed", "No valid API key was sent."),
    403: (
        "The key lacks the scope, or may not act for that tenant.",
        "forbidden",
        "This key may not do that",
        "This needs a key with the scope `write`; yours has read.",
    ),
    404: ("There is no such object.", "not_found", "Not found", "There is no such job."),
    408: (
        "The body comes too slowly, or not at all.",
        "upload_too_slow",
        "The body comes too slowly",
        "Less than 7,680 bytes came in a while.",
    ),
    409: (
        "The object's state forbids it.",
        "state_conflict",
        "The current state does not allow this",
        "The job has ended already: it is succeeded.",
    ),
    412: (
        "The request speaks another version of tus.",
        "unsupported_tus_version",
        "This version of tus is not spoken here",
        "The request is not tus 1.0.0.",
    ),
    413: (
        "The body is too large.",
        "too_large",
        "The upload is too large",
        "The archive may have at most 1,024 bytes.",
    ),
    415: (
        "The body is of a type that is not taken here.",
        "unsupported_media_type",
        "Unsupported media type",
        "The body is sent as application/json.",
    ),
    416: ("The range lies outside of the file.", "range_not_satisfiable", "There are no such bytes", "It has 9 bytes."),
    422: (
        "Well-formed but wrong; `errors` lists everything found.",
        "invalid_request",
        "The request is well-formed but wrong",
        "distill.learning_rate: Input should be greater than 0",
    ),
    423: (
        "Another request is writing to the upload.",
        "upload_locked",
        "The upload is in use",
        "Another request is writing to this upload.",
    ),
    429: (
        "Over the rate limit, or over a quota that waiting brings down again.",
        "rate_limited",
        "Too many requests",
        "More than 600 requests in a minute.",
    ),
    460: (
        "The body does not match its Upload-Checksum; it was discarded.",
        "checksum_mismatch",
        "The checksum does not match",
        "What arrived is not what the Upload-Checksum is of; it was discarded.",
    ),
    500: (
        "Our own mistake; the log tells more under the request_id.",
        "internal_error",
        "Something went wrong on our side",
        "The request could not be completed.",
    ),
    503: (
        "The database or another backing service is away, no worker has announced itself yet, or too many ask at once.",
        "store_unavailable",
        "A backing service is unavailable",
        "The database does not answer.",
    ),
    507: ("No space is left.", "disk_full", "The disk is full", "There is no space left in the storage."),
}

_TEXT = {"type": "string"}
LOCATION = {"Location": {"description": "Where to look at it.", "schema": _TEXT}}
REPLAYED = {"Idempotent-Replayed": {"description": "`true` if an earlier request made this job.", "schema": _TEXT}}
ETAG = {"ETag": {"description": "Send it back in If-None-Match.", "schema": _TEXT}}
DOWNLOAD = {
    "Content-Length": {"description": "In bytes.", "schema": {"type": "integer"}},
    "ETag": {"description": "The file's SHA-256.", "schema": _TEXT},
    "Accept-Ranges": {"description": "`bytes`.", "schema": _TEXT},
    "Repr-Digest": {"description": "SHA-256 of the whole file (RFC 9530).", "schema": _TEXT},
    "Content-Disposition": {"description": "The name to save it under.", "schema": _TEXT},
}
UPLOAD_PROGRESS = {
    "Upload-Offset": {"description": "Bytes that have arrived.", "schema": {"type": "integer"}},
    "Upload-Expires": {"description": "When it is removed if nothing is added.", "schema": _TEXT},
}
UPLOAD_STATE = {
    "Upload-Length": {"description": "Bytes of the whole.", "schema": {"type": "integer"}},
    "Upload-Metadata": {"description": "As it was sent.", "schema": _TEXT},
    "Cache-Control": {"description": "`no-store`.", "schema": _TEXT},
}
UPLOAD_OFFERS = {
    "Tus-Version": {"description": "`1.0.0`", "schema": _TEXT},
    "Tus-Extension": {"description": "What of the protocol's extensions is there.", "schema": _TEXT},
    "Tus-Max-Size": {"description": "Bytes of the largest upload.", "schema": {"type": "integer"}},
    "Tus-Checksum-Algorithm": {"description": "For Upload-Checksum.", "schema": _TEXT},
}
# bytes have no schema: that is how OpenAPI 3.1 says it
UPLOAD_BODY: dict[str, Any] = {"requestBody": {"content": {"application/offset+octet-stream": {}}}}
_REQUEST_ID = {"X-Request-ID": {"description": "Quote it when you report a problem.", "schema": _TEXT}}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
_PROBLEM_HEADERS = {
    401: {"WWW-Authenticate": {"description": "How to authenticate.", "schema": _TEXT}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


def problem_content(status: int) -> dict[str, Any]:
    """The documentation of one problem answer."""
    return example_problem(status, *_EXAMPLES[status])


def example_problem(status: int, description: str, code: str, title: str, detail: str) -> dict[str, Any]:
    """The same, of a problem for which the table of examples has another one."""
    example = {
        "type": problem_type(code),
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": "req_01JCZ7R2M4K6H8G0F1E3D5C7B9",
    }
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}}
    return {"description": description, "content": content, "headers": _PROBLEM_HEADERS.get(status, {})}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`; what every route may answer is added to the document anyway."""
    return {status: problem_content(status) for status in statuses}


def document(app: FastAPI) -> dict[str, Any]:
    """The document; made once and kept."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
            separate_input_output_schemas=False,
        )
        _, definitions = models_json_schema([(Problem, "serialization")], ref_template="#/components/schemas/{model}")
        components = schema["components"]["schemas"]
        components.update(definitions["$defs"])
        for name in ("HTTPValidationError", "ValidationError"):
            components.pop(name, None)
        for path, operation in _operations(schema):
            _complete(path, operation)
        app.openapi_schema = schema
    return app.openapi_schema


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            yield path, operation


def _complete(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == "Tus-Resumable":  # its lack is a 412 and no 422, so the route calls it optional
            parameter["required"] = True
            parameter["schema"].pop("default")
    takes_input = "requestBody" in operation or any(p["in"] != "path" for p in operation.get("parameters", ()))
    everywhere = [500]
    if path.startswith("/v1/"):
        everywhere += [401, 403, 429, 503]
    if path in {"/readyz", "/metrics"}:
        everywhere.append(503)
    if "requestBody" in operation:
        everywhere.append(408)
    if takes_input:
        everywhere.append(422)
    else:
        responses.pop("422", None)  # any string can be an id; one that is none is a 404
    for status in everywhere:
        responses[str(status)] = problem_content(status)
    for response in responses.values():
        response["headers"] = response.get("headers", {}) | _REQUEST_ID
    operation["responses"] = dict(sorted(responses.items()))
