"""Problems as RFC 9457 has them: the body of every error answer. Their kinds are in `app.domain.errors`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.domain.errors import OffsetMismatch, TdmrError, TooManyRequests
from app.log_context import current_request_id

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = "5"
"""What a client is told to wait when a backing service is unavailable."""


class ProblemItem(BaseModel):
    """One of several errors in a request."""

    code: str = Field(description="The kind of error, for programs.", examples=["greater_than"])
    detail: str = Field(description="What is wrong.", examples=["Input should be greater than 0"])
    param: str | None = Field(
        default=None, description="The invalid field, for example `distill.learning_rate`; absent for the whole body."
    )
    hint: str | None = Field(default=None, description="How to fix it.")


class Problem(BaseModel):
    """What went wrong, and how to fix it."""

    type: str = Field(description="A URI that identifies the problem.", examples=["urn:tdmr:problem:not_found"])
    title: str = Field(description="The problem in a few words; the same for every one of its code.")
    status: int = Field(description="The HTTP status.", examples=[404])
    detail: str = Field(description="What happened this time.", examples=["There is no such job."])
    instance: str | None = Field(default=None, description="The path of the request.", examples=["/v1/jobs/job_1"])
    code: str = Field(
        description="The problem for programs.",
        examples=["not_found"],
    )
    param: str | None = Field(default=None, description="The invalid field, parameter or header.")
    errors: list[ProblemItem] = Field(default=[], description="Every error, where the request has several.")
    hint: str | None = Field(default=None, description="How to fix it.", examples=["GET /v1/jobs lists your jobs."])
    request_id: str | None = Field(default=None, description="Quote it when you report a problem; the log has it too.")


def problem_response(
    error: TdmrError,
    instance: str | None,
    *,
    errors: Sequence[ProblemItem] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The HTTP answer that tells this error.

    Args:
        instance: the request's path.
        errors: everything that is wrong, where it is more than one thing.
        headers: besides those that the error itself calls for.
    """
    assert error.status is not None, f"{error.code} is stored, never sent"
    problem = Problem(
        type=problem_type(error.code),
        title=error.title,
        status=error.status,
        detail=error.detail,
        instance=instance,
        code=error.code,
        param=error.param,
        errors=list(errors),
        hint=error.hint,
        request_id=current_request_id(),
    )
    return JSONResponse(
        _without_nulls(problem), error.status, {**_headers(error), **(headers or {})}, media_type=PROBLEM_JSON
    )


def problem_type(code: str) -> str:
    return f"urn:tdmr:problem:{code}"


def _headers(error: TdmrError) -> dict[str, str]:
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(math.ceil(error.retry_after))}
    if isinstance(error, OffsetMismatch):
        return {"Upload-Offset": str(error.offset)}
    if error.status == 401:
        return {"WWW-Authenticate": 'Bearer realm="tdmr"'}
    return {"Retry-After": RETRY_AFTER_SECONDS} if error.status == 503 else {}


def _without_nulls(problem: Problem) -> dict[str, Any]:
    fields = problem.model_dump(mode="json", exclude_none=True)
    return fields if problem.errors else {name: value for name, value in fields.items() if name != "errors"}
