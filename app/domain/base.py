"""The base of everything that crosses a boundary between packages."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError


class Frozen(BaseModel):
    """Immutable, strict about unknown keys and about NaN and infinities: a typo is an error, never silence.

    The text below a field is its description in the OpenAPI document. What we send has every field.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,
    )


class Shown(BaseModel):
    """A part of an answer. The text below a field is its description in the OpenAPI document."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_serialization_defaults_required=True)


def _no_text(value: Any) -> Any:
    if isinstance(value, str | bytes | bool):
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


NOT_TEXT = BeforeValidator(_no_text)
WholeNumber = Annotated[int, NOT_TEXT]
"""5 and, as JSON has it, 5.0; but not "5" nor true, which whoever sends them means otherwise as often as not."""
