"""Parameters that several routes take."""

import re
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator, TypeAdapter, ValidationError, WithJsonSchema

from app.domain.errors import UnsupportedMediaType
from app.domain.names import Metadata

_ULID = "[0-9A-HJKMNP-TV-Z]{26}"
_METADATA: TypeAdapter[dict[str, str]] = TypeAdapter(Metadata)
_METADATA_PARAMETER = re.compile(r"metadata\[(.*)\]", re.DOTALL)

Limit = Annotated[int, Query(ge=1, le=100, description="Number of items per page.")]
AfterDataset = Annotated[str | None, Query(pattern=f"^ds_{_ULID}$", description="The `last_id` of the previous page.")]
AfterClass = Annotated[
    int | None,
    Query(ge=0, le=2**53, description="Only classes after this `index`: the `last_id` of the previous page."),
]
AfterJob = Annotated[str | None, Query(pattern=f"^job_{_ULID}$", description="The `last_id` of the previous page.")]
SEVERAL_JOBS = f"^job_{_ULID}(,job_{_ULID}){{1,9}}$"
AfterKey = Annotated[str | None, Query(pattern=f"^key_{_ULID}$", description="The `last_id` of the previous page.")]
AfterAudit = Annotated[str | None, Query(pattern=f"^aud_{_ULID}$", description="The `last_id` of the previous page.")]
AfterWebhook = Annotated[str | None, Query(pattern=f"^wh_{_ULID}$", description="The `last_id` of the previous page.")]
AfterDelivery = Annotated[
    str | None, Query(pattern=f"^dlv_{_ULID}$", description="The `last_id` of the previous page.")
]
AfterName = Annotated[str | None, Query(max_length=128, description="The `last_id` of the previous page.")]
_COUNT = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)([kKmMbB]?)", re.ASCII)
_THOUSANDS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}


def _read_count(value: str) -> int:
    match = _COUNT.fullmatch(value)
    if match is None:
        raise ValueError("must be a number such as 5000000, 5M or 800k")
    return round(float(match[1]) * _THOUSANDS[match[2].lower()])


Count = Annotated[
    int,
    BeforeValidator(_read_count),
    WithJsonSchema({"type": "string", "pattern": f"^{_COUNT.pattern}$", "examples": ["5M"]}),
]
"""A number as people write it: 5000000, 5M, 1.5b."""
Search = Annotated[str, Query(max_length=128, description="Filter: text contained in the name or family.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="A fresh value for each new object. A repeated request with the same value and body returns the "
        "same object instead of creating another.",
    ),
]


async def expect_json(content_type: Annotated[str, Header(include_in_schema=False)] = "") -> None:
    """
    Raises:
        UnsupportedMediaType: for anything but JSON.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaType(
            "This route takes application/json.", hint="Send `Content-Type: application/json`.", param="Content-Type"
        )


async def metadata_filter(request: Request) -> dict[str, str]:
    """The pairs of `?metadata[key]=value`."""
    pairs = {
        match[1]: value
        for name, value in request.query_params.multi_items()
        if (match := _METADATA_PARAMETER.fullmatch(name))
    }
    try:
        return _METADATA.validate_python(pairs)
    except ValidationError as error:
        found = [{**item, "loc": ("query", "metadata", *item["loc"])} for item in error.errors()]
        raise RequestValidationError(found) from error


MetadataFilter = Annotated[dict[str, str], Depends(metadata_filter)]
METADATA_PARAMETER_DOCS = {
    "parameters": [
        {
            "name": "metadata",
            "in": "query",
            "required": False,
            "description": "Only jobs with these metadata pairs: `?metadata[owner]=ann&metadata[run]=7`.",
            "style": "deepObject",
            "explode": True,
            "schema": _METADATA.json_schema(),
        }
    ]
}
