"""What the service returns, as objects."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tdmr.errors import Unexpected

Bound = TypeVar("Bound", bound=BaseModel)


def parse(model: type[Bound], found: Any) -> Bound:
    """
    Raises:
        Unexpected: a field is missing, or is of another kind than this version knows.
    """
    try:
        return model.model_validate(found)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, one["loc"])) for one in error.errors()[:3])
        raise Unexpected(
            f"The service returned something that this version of the client cannot read ({model.__name__}: {wrong}). "
            "Install the client of the service's version."
        ) from error


def adopt(known: Bound, news: BaseModel) -> Bound:
    """Take over every field of `news`, of the same or a wider model; returns `known`."""
    fields = type(known).model_fields
    for name, value in news.__dict__.items():
        if name in fields:
            known.__dict__[name] = value
    return known
