"""The OpenAPI document with every answer that a route may give, problems included."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from app.api.browsers import SAFE_METHODS
from app.api.openapi_schemas import REF, example_of, polish
from app.api.problems import PROBLEM_JSON, Problem, problem_type
from app.domain.errors import (
    CATALOGUE,
    CsrfTokenInvalid,
    Forbidden,
    HostNotAllowed,
    InternalError,
    InvalidRequest,
    OriginNotAllowed,
    StoreUnavailable,
    TdmrError,
    TooManyRequests,
    Unauthorized,
    UploadTooSlow,
)

DESCRIPTION = """\
Trains a small model that your device can run from your labelled images, and exports it ready to deploy.

A frozen vision foundation model (the *teacher*) is reprogrammed to your task once; a small *student* is then distilled
from it. Upload a data set, wait until it is `ready`, create a job, poll it, and download the student.

Authenticate with `Authorization: Bearer tdmr_…`. The scope `read` allows reading, `write` allows changes, `admin`
manages keys. The headers `RateLimit` and `RateLimit-Policy` report how many requests remain in the current minute.

Each path under `/v1` also answers without it: `POST /jobs` is `POST /v1/jobs`. A query parameter or a field that is not
known is an error, which names the nearest known one.

Errors are `application/problem+json` (RFC 9457): what went wrong, and how to fix it. `code` is the same for every
problem of a kind; its values are listed in the schema `ProblemCode`.
"""
TAGS = [
    {"name": "uploads", "description": "Resumable uploads of large archives, with the tus protocol 1.0.0."},
    {"name": "datasets", "description": "Archives of labelled images."},
    {"name": "catalogue", "description": "Teachers and students that the workers offer."},
    {"name": "jobs", "description": "Create, list, inspect, cancel, pause, resume and retry."},
    {"name": "results", "description": "Events, training curves, evaluation, files and predictions of a job."},
    {"name": "webhooks", "description": "Events sent to your own server, signed as Standard Webhooks has it."},
    {"name": "access", "description": "API keys and the audit trail. Needs the scope `admin`."},
    {"name": "health", "description": "Liveness, readiness and metrics for operators."},
]

_TEXT = {"type": "string"}
LOCATION = {"Location": {"description": "The URL of the object.", "schema": _TEXT}}
REPLAYED = {
    "Idempotent-Replayed": {"description": "`true` if an earlier request created this object.", "schema": _TEXT}
}
ETAG = {"ETag": {"description": "Send it back in If-None-Match.", "schema": _TEXT}}
DOWNLOAD = {
    "Content-Length": {"description": "In bytes.", "schema": {"type": "integer"}},
    "ETag": {"description": "The file's SHA-256.", "schema": _TEXT},
    "Accept-Ranges": {"description": "`bytes`.", "schema": _TEXT},
    "Repr-Digest": {"description": "SHA-256 of the whole file (RFC 9530).", "schema": _TEXT},
    "Content-Disposition": {"description": "The suggested file name.", "schema": _TEXT},
}
UPLOAD_PROGRESS = {
    "Upload-Offset": {"description": "Bytes that have arrived.", "schema": {"type": "integer"}},
    "Upload-Expires": {"description": "When the upload is deleted unless it receives more data.", "schema": _TEXT},
}
UPLOAD_STATE = {
    "Upload-Length": {"description": "Total size in bytes.", "schema": {"type": "integer"}},
    "Upload-Metadata": {"description": "As sent by the client.", "schema": _TEXT},
    "Cache-Control": {"description": "`no-store`.", "schema": _TEXT},
}
UPLOAD_OFFERS = {
    "Tus-Version": {"description": "`1.0.0`", "schema": _TEXT},
    "Tus-Extension": {"description": "The supported extensions of tus.", "schema": _TEXT},
    "Tus-Max-Size": {"description": "Largest upload accepted, in bytes.", "schema": {"type": "integer"}},
    "Tus-Checksum-Algorithm": {"description": "Algorithms accepted in Upload-Checksum.", "schema": _TEXT},
}
# OpenAPI 3.1 has another word for bytes, which generators of clients do not know; this one they all do
BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "description": "A piece of the archive.",
        "content": {"application/offset+octet-stream": {"schema": BINARY}},
    }
}
PATH_PARAMETERS = {
    "dataset_id": "The id of a data set, `ds_…`.",
    "job_id": "The id of a job, `job_…`.",
    "key_id": "The id of an API key, `key_…`; not the key itself.",
    "upload_id": "The id of an upload, `upl_…`: the last part of its `Location`.",
    "name": "The name of a file, as the list of files has it; with several students `<student>/<file>`.",
}
"""What a parameter in a path is. A new one needs a line here, or a description of its own."""
_REQUEST_ID = {"X-Request-ID": {"description": "Quote it when you report a problem.", "schema": _TEXT}}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_PROBLEM_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "How to authenticate.", "schema": _TEXT}},
    416: {"Content-Range": {"description": "`bytes */` and the file's size.", "schema": _TEXT}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


def problems(*errors: type[TdmrError]) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: these problems by status. `document` adds what every route may answer."""
    responses: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        assert error.status is not None, f"{error.code} is stored, never sent"
        _add_problem(responses.setdefault(error.status, {}), error)
    return responses


def _add_problem(response: dict[str, Any], error: type[TdmrError]) -> None:
    example = {
        "type": problem_type(error.code),
        "title": error.title,
        "status": error.status,
        "detail": error.example,
        "code": error.code,
        "request_id": "req_01JCZ7R2M4K6H8G0F1E3D5C7B9",
    }
    content = response.setdefault("content", {}).setdefault(PROBLEM_JSON, {"schema": _PROBLEM, "examples": {}})
    content["examples"][error.code] = {"summary": error.title, "value": example}
    described = response.get("description", "")
    if error.description() not in described:
        response["description"] = f"{described} {error.description()}".lstrip()
    response.setdefault("headers", {}).update(_PROBLEM_HEADERS.get(error.status or 0, {}))


def document(app: FastAPI) -> dict[str, Any]:
    """The document; made once and kept."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            webhooks=app.webhooks.routes,
            tags=app.openapi_tags,
        )
        _, definitions = models_json_schema([(Problem, "serialization")], ref_template="#/components/schemas/{model}")
        components = schema["components"]["schemas"]
        components.update(definitions["$defs"])
        components["ProblemCode"] = {
            "description": "The kind of a problem, for programs.",
            "type": "string",
            "enum": sorted(CATALOGUE),
        }
        components["Problem"]["properties"]["code"] |= {"$ref": f"{REF}ProblemCode"}
        for name in ("HTTPValidationError", "ValidationError"):
            components.pop(name, None)
        for method, path, operation in _operations(schema):
            _complete(method, path, operation)
        for methods in schema["webhooks"].values():
            for operation in methods.values():
                operation["responses"].pop("422")  # FastAPI's own; what is sent is valid
        polish(schema)
        for _, _, operation in _operations(schema):
            _show_examples(operation, schema["components"]["schemas"])
        app.openapi_schema = schema
    return app.openapi_schema


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _complete(method: str, path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path" and parameter["name"] in PATH_PARAMETERS:
            parameter.setdefault("description", PATH_PARAMETERS[parameter["name"]])
        parameter.get("schema", {}).pop("description", None)  # FastAPI says it twice
        if parameter["name"] == "Tus-Resumable":  # its lack is a 412 and no 422, so the route calls it optional
            parameter["required"] = True
            parameter["schema"].pop("default")
    # any string can be an id, and one that is none is a 404; a query parameter that nobody knows is a 422 everywhere
    everywhere: list[type[TdmrError]] = [InternalError, HostNotAllowed, InvalidRequest]
    if method not in SAFE_METHODS:
        everywhere.append(OriginNotAllowed)
        if path.startswith("/v1/"):
            everywhere.append(CsrfTokenInvalid)
    if path.startswith("/v1/"):
        everywhere += [Unauthorized, Forbidden, TooManyRequests, StoreUnavailable]
    if path in {"/readyz", "/metrics"}:
        everywhere.append(StoreUnavailable)
    if "requestBody" in operation:
        everywhere.append(UploadTooSlow)
    if PROBLEM_JSON not in responses.get("422", {}).get("content", {}):
        responses.pop("422", None)  # FastAPI's own
    for error in everywhere:
        _add_problem(responses.setdefault(str(error.status), {}), error)
    for response in responses.values():
        response["headers"] = response.get("headers", {}) | _REQUEST_ID
    operation["responses"] = dict(sorted(responses.items()))


def _show_examples(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Each JSON that a success brings, as an example."""
    for status, response in operation["responses"].items():
        content = response.get("content", {}).get("application/json") if status.startswith("2") else None
        if content is not None and not content.keys() & {"example", "examples"}:
            content["example"] = example = example_of(content["schema"], schemas)
            if isinstance(example, dict) and example.get("object") == "list":
                (item,) = example["data"]
                cursor = str(next(item[key] for key in ("id", "seq", "index", "name") if key in item))
                example |= {"first_id": cursor, "last_id": cursor}
