"""RFC 9457 problems: the one shape of everything that goes wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.request_id import current_request_id

PROBLEM_JSON = "application/problem+json"


class ProblemItem(BaseModel):
    """One of several things wrong with a request."""

    code: str
    detail: str
    param: str | None = Field(
        default=None, description="Where it stands, `distill.learning_rate` for example; without it, the whole body."
    )
    hint: str | None = None


class Problem(BaseModel):
    """What happened, and what to do about it."""

    type: str = Field(description="A URI that names the kind of problem.", examples=["urn:tdmr:problem:not_found"])
    title: str = Field(description="The kind of problem in a few words.", examples=["Not found"])
    status: int = Field(description="The HTTP status.", examples=[404])
    detail: str = Field(description="What happened this time.", examples=["There is no such job."])
    instance: str | None = Field(default=None, description="The path of the request.", examples=["/v1/jobs/job_1"])
    code: str = Field(description="The kind of problem for programs.", examples=["not_found"])
    param: str | None = Field(default=None, description="The field, parameter or header that is wrong.")
    errors: list[ProblemItem] = Field(default=[], description="Everything that is wrong, where it is more than one.")
    hint: str | None = Field(default=None, description="What to do.", examples=["GET /v1/jobs lists yours."])
    request_id: str | None = Field(default=None, description="Quote it when you report this; the log has it too.")


def problem_response(
    status: int,
    *,
    code: str,
    title: str,
    detail: str,
    instance: str | None,
    param: str | None = None,
    hint: str | None = None,
    errors: Sequence[ProblemItem] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """An answer that carries a problem."""
    problem = Problem(
        type=problem_type(code),
        title=title,
        status=status,
        detail=detail,
        instance=instance,
        code=code,
        param=param,
        errors=list(errors),
        hint=hint,
        request_id=current_request_id(),
    )
    return JSONResponse(_without_nulls(problem), status, headers, media_type=PROBLEM_JSON)


def problem_type(code: str) -> str:
    return f"urn:tdmr:problem:{code}"


def _without_nulls(problem: Problem) -> dict[str, Any]:
    fields = problem.model_dump(mode="json", exclude_none=True)
    return fields if problem.errors else {name: value for name, value in fields.items() if name != "errors"}
