"""The handlers that turn every exception into a problem."""

import difflib
import logging
from collections.abc import Sequence
from typing import Any, get_args

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.api.body_limit import BodyRefused
from app.api.problems import ProblemItem, problem_response
from app.api.query import UnknownParameters
from app.domain.errors import (
    InternalError,
    InvalidRequest,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    StoreUnavailable,
    TdmrError,
)
from app.services.datasets import NO_SPACE, storage_error

logger = logging.getLogger(__name__)

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
_PATHS = "GET /openapi.json lists every path."


class BodyInvalid(RequestValidationError):
    """The body of a route that reads and validates it itself."""

    def __init__(self, model: type[BaseModel], error: ValidationError) -> None:
        super().__init__([{**item, "loc": ("body", *item["loc"])} for item in error.errors()])
        self.model = model


def install(app: FastAPI) -> None:
    """Answer every error with a problem."""
    app.exception_handler(TdmrError)(_domain_error)
    app.exception_handler(RequestValidationError)(_validation_error)
    app.exception_handler(HTTPException)(_http_error)
    app.exception_handler(OSError)(_disk_error)
    for database_unavailable in (OperationalError, InterfaceError, PoolTimeout):
        app.exception_handler(database_unavailable)(_database_unavailable)


def unexpected(request: Request) -> JSONResponse:
    """The answer to a mistake of our own: nothing but the id under which the log tells more."""
    error = InternalError(InternalError.example, hint="The service's log has the cause under this request_id.")
    return problem_response(error, request.url.path)


def _domain_error(request: Request, error: TdmrError) -> JSONResponse:
    return problem_response(error, request.url.path)


def _database_unavailable(request: Request, error: Exception) -> JSONResponse:
    logger.warning("database unavailable: %s", error)
    return _domain_error(request, StoreUnavailable(StoreUnavailable.example, hint="Try again in a few seconds."))


def _disk_error(request: Request, error: OSError) -> JSONResponse:
    if error.errno not in NO_SPACE:
        raise error  # our own mistake like any other
    return _domain_error(request, storage_error(error))


def _http_error(request: Request, error: HTTPException) -> JSONResponse:
    """FastAPI and Starlette themselves know 404, 405, and 400 for a body that cannot be read."""
    if isinstance(error, BodyRefused):
        return _domain_error(request, error.problem)
    if error.status_code == MethodNotAllowed.status:
        problem: TdmrError = MethodNotAllowed(f"{request.method} is not supported for this path.", hint=_PATHS)
        return problem_response(problem, request.url.path, headers={"Allow": ", ".join(_allowed(request))})
    if error.status_code == NotFound.status:
        problem = NotFound("No route has this path.", hint=_PATHS)
    else:
        problem = MalformedRequest(error.detail)
    return _domain_error(request, problem)


def _allowed(request: Request) -> list[str]:
    """The methods that the path supports, all of them in one router. `/v1/jobs/estimate` has the shape of
    `/v1/jobs/{job_id}` too: the router that comes first is meant."""
    path, routers = request.scope, request.app.routes
    meant = next((router for router in routers if router.matches(path)[0] is not Match.NONE), None)
    return [
        method for method in METHODS if meant is not None and meant.matches({**path, "method": method})[0] is Match.FULL
    ]


def _validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        reason, where = found[0]["ctx"]["error"], found[0]["loc"][-1]
        at = f" at character {where}" if isinstance(where, int) else ""
        return _domain_error(request, MalformedRequest(f"The body is not JSON: {reason}{at}."))
    if isinstance(error, UnknownParameters):
        items = [_unknown_parameter(entry, error.known) for entry in found]
    else:
        model = error.model if isinstance(error, BodyInvalid) else _body_model(request)
        items = [_item(entry, model) for entry in found]
    first = items[0]
    where = f"{first.param}: " if first.param else ""
    more = f" (and {len(items) - 1} more)" if len(items) > 1 else ""
    problem = InvalidRequest(f"{where}{first.detail}{more}", hint=first.hint, param=first.param)
    return problem_response(problem, request.url.path, errors=items)


def _body_model(request: Request) -> type[BaseModel] | None:
    """The model of the route's JSON body."""
    field = getattr(request.scope.get("route"), "body_field", None)
    return None if field is None else _model_in(field.field_info.annotation)


def _item(entry: dict[str, Any], model: type[BaseModel] | None) -> ProblemItem:
    # the value sent is left out: it may be long, and it may be a secret
    source, *path = entry["loc"]
    unknown = entry["type"] == "extra_forbidden" and source == "body"
    message = "There is no such field." if unknown else entry["msg"].removeprefix("Value error, ")
    hint = _nearest_name(model, path) if unknown else None
    return ProblemItem(
        param=".".join(str(part) for part in path) or None, code=entry["type"], detail=message, hint=hint
    )


def _unknown_parameter(entry: dict[str, Any], known: Sequence[str]) -> ProblemItem:
    name = str(entry["loc"][-1])[:100]
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        hint = f"Did you mean '{near[0]}'?"
    else:
        hint = f"Known parameters: {', '.join(known)}." if known else "This route takes no query parameters."
    return ProblemItem(param=name, code="unknown_parameter", detail=entry["msg"], hint=hint)


def _nearest_name(model: type[BaseModel] | None, path: Sequence[str | int]) -> str | None:
    """The field that a mistyped one was probably meant to be: of the model in which it stands, or of the same name
    elsewhere in the body."""
    *parents, last = path
    if model is not None and (elsewhere := _places(model, str(last))):
        return f"Did you mean '{elsewhere[0]}'?"
    for name in parents:
        field = None if model is None else model.model_fields.get(str(name))
        model = None if field is None else _model_in(field.annotation)
    if model is None:
        return None
    near = difflib.get_close_matches(str(last), model.model_fields, n=1)
    return f"Did you mean '{near[0]}'?" if near else f"Known fields: {', '.join(model.model_fields)}."


def _places(model: type[BaseModel], name: str) -> list[str]:
    """Where in a body there is a field of this name: in it, or in a part of it."""
    parts = {part: _model_in(field.annotation) for part, field in model.model_fields.items()}
    found = [name] if name in parts else []
    return found + [f"{part}.{name}" for part, inner in parts.items() if inner and name in inner.model_fields]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation is, or that it holds beside None."""
    candidates = [annotation, *get_args(annotation)]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
