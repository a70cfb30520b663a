"""Names and short texts that people may send."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

_NO_NUL = r"^[^\u0000]*$"
_MODEL_NAME = r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*"


def _timm_name(value: str) -> str:
    if not re.fullmatch(_MODEL_NAME, value):
        raise ValueError("must be a timm name such as 'resnet18' or 'resnet18.a1_in1k', not a URL or a path")
    return value


ModelName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128),
    AfterValidator(_timm_name),
    Field(json_schema_extra={"pattern": f"^{_MODEL_NAME}$"}),
]
"""A timm name, `architecture` or `architecture.tag`."""


def _no_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain a NUL character")
    return value


Text = Annotated[
    str, StringConstraints(max_length=256), AfterValidator(_no_nul), Field(json_schema_extra={"pattern": _NO_NUL})
]
"""A short human text: any script, no NUL (Postgres cannot store one)."""

Metadata = Annotated[
    dict[Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_no_nul)], Text],
    Field(max_length=16),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": 16,
            "propertyNames": {"minLength": 1, "maxLength": 64, "pattern": _NO_NUL},
            "additionalProperties": {"type": "string", "maxLength": 256, "pattern": _NO_NUL},
        }
    ),
]
"""The user's own labels: at most 16 pairs of strings, returned as they came and usable as a filter."""
