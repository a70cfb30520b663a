"""The one table from errors to HTTP, and the handlers that apply it."""

import difflib
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.api.problems import ProblemItem, problem_response
from app.domain import errors as domain
from app.domain.errors import OffsetMismatch, StoreUnavailable, TdmrError, TooManyRequests
from app.domain.spec import JobSpec
from app.services.datasets import NO_SPACE, storage_error

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = "5"
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")

STATUS: Mapping[type[TdmrError], int] = {
    domain.MalformedRequest: 400,
    domain.Unauthorized: 401,
    domain.Forbidden: 403,
    domain.NotFound: 404,
    domain.StateConflict: 409,
    domain.UnsupportedTusVersion: 412,
    domain.UploadTooLarge: 413,
    domain.UnsupportedMediaType: 415,
    domain.InvalidSpec: 422,
    domain.IdempotencyKeyReused: 422,
    domain.UnusableImage: 422,
    domain.UploadLocked: 423,
    domain.TooManyRequests: 429,
    domain.ChecksumMismatch: 460,  # tus' own
    domain.StoreUnavailable: 503,
    domain.CatalogEmpty: 503,
    domain.PredictionsBusy: 503,
    domain.DiskFull: 507,
}
"""A subclass takes its parent's status."""

_HTTP_CODES = {
    400: ("malformed_request", "The request cannot be read"),
    404: ("not_found", "Not found"),
    405: ("method_not_allowed", "This resource does not know this method"),
    408: ("upload_too_slow", "The body comes too slowly"),
    413: ("too_large", "The body is too large"),
}
_HTTP_HINTS = {
    404: "GET /openapi.json lists every path.",
    405: "GET /openapi.json lists every path.",
    408: "POST /v1/uploads takes an upload that can go on where it broke off.",
}


def status_of(error: type[TdmrError]) -> int:
    """The status of an error or, where the table has none of its own, of its nearest parent.

    Raises:
        LookupError: if it is never meant to reach HTTP.
    """
    for cls in error.__mro__:
        if cls in STATUS:
            return STATUS[cls]
    raise LookupError(f"{error.__name__} has no status")


def install(app: FastAPI) -> None:
    """Let every error leave as a problem."""
    app.exception_handler(TdmrError)(_domain_error)
    app.exception_handler(RequestValidationError)(_validation_error)
    app.exception_handler(HTTPException)(_http_error)
    app.exception_handler(OSError)(_disk_error)
    for database_away in (OperationalError, InterfaceError, PoolTimeout):
        app.exception_handler(database_away)(_database_away)


def unexpected(request: Request) -> JSONResponse:
    """The answer to our own mistake: nothing but the id under which the log tells more."""
    return problem_response(
        500,
        code="internal_error",
        title="Something went wrong on our side",
        detail="The request could not be completed.",
        hint="The service's log tells more under this request_id.",
        instance=request.url.path,
    )


def _domain_error(request: Request, error: TdmrError) -> JSONResponse:
    status = status_of(type(error))
    headers = {}
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    if isinstance(error, OffsetMismatch):
        headers["Upload-Offset"] = str(error.offset)
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="tdmr"'
    if status == 503:
        headers["Retry-After"] = RETRY_AFTER_SECONDS
    return problem_response(
        status,
        code=error.code,
        title=error.title,
        detail=error.detail,
        hint=error.hint,
        param=error.param,
        instance=request.url.path,
        headers=headers,
    )


def _database_away(request: Request, error: Exception) -> JSONResponse:
    logger.warning("database away: %s", error)
    return _domain_error(request, StoreUnavailable("The database does not answer.", hint="Try again in a few seconds."))


def _disk_error(request: Request, error: OSError) -> JSONResponse:
    if error.errno not in NO_SPACE:
        raise error  # our own mistake like any other
    return _domain_error(request, storage_error(error))


def _http_error(request: Request, error: HTTPException) -> JSONResponse:
    code, title = _HTTP_CODES.get(error.status_code, ("http_error", str(error.detail)))
    detail = {404: "There is nothing at this path.", 405: f"{request.method} is not possible here."}
    return problem_response(
        error.status_code,
        code=code,
        title=title,
        detail=detail.get(error.status_code, str(error.detail)),
        hint=_HTTP_HINTS.get(error.status_code),
        instance=request.url.path,
        headers={"Allow": ", ".join(_allowed(request))} if error.status_code == 405 else error.headers,
    )


def _allowed(request: Request) -> list[str]:
    """The methods that the path knows; the router names those of its first route alone."""
    return [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]


def _validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return problem_response(
            400,
            code="malformed_request",
            title="The request cannot be read",
            detail=f"The body is not JSON: {found[0]['ctx']['error']} at character {found[0]['loc'][-1]}.",
            instance=request.url.path,
        )
    items = [_item(entry) for entry in found]
    first = items[0]
    where = f"{first.param}: " if first.param else ""
    more = f" (and {len(items) - 1} more)" if len(items) > 1 else ""
    return problem_response(
        422,
        code="invalid_request",
        title="The request is well-formed but wrong",
        detail=f"{where}{first.detail}{more}",
        param=first.param,
        hint=first.hint,
        errors=items,
        instance=request.url.path,
    )


def _item(entry: Mapping[str, Any]) -> ProblemItem:
    # the value sent is left out: it may be long, and it may be a secret
    source, *path = entry["loc"]
    message = entry["msg"].removeprefix("Value error, ")
    hint = _nearest_name(path) if entry["type"] == "extra_forbidden" and source == "body" else None
    return ProblemItem(
        param=".".join(str(part) for part in path) or None, code=entry["type"], detail=message, hint=hint
    )


def _nearest_name(path: Sequence[str | int]) -> str | None:
    """What a mistyped key of a job spec was probably meant to be."""
    model: type[BaseModel] = JobSpec
    *parents, last = path
    for name in parents:
        field = model.model_fields.get(str(name))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return None
        model = field.annotation
    near = difflib.get_close_matches(str(last), model.model_fields, n=1)
    return f"Did you mean '{near[0]}'?" if near else f"Known here: {', '.join(model.model_fields)}."
