"""What the sender of an archive says about it, however the archive is sent."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.domain.dataset import ImportOptions

LAYOUT = (
    "The reading that is meant, as an import has offered it in `layout.readings`, or what its id begins with: "
    "`folders`, `table`, `coco`, ..."
)
ENCODING = "Of names in a zip, and of tables, that are not UTF-8: `gbk`, `cp932`, `cp850`, ... Default: guessed."
LABELS_COLUMN = "The heading of the column that tells the class. Default: found by its name and its content."
UNLABELLED_CLASSES = "Classes whose images have no label; `unlabeled` and `no_label` always mean that."
STRETCH = "Spread the values of images with more than 8 bits over black to white, all alike."
ALSO_METADATA = "All of these are read from Upload-Metadata and from JSON too."
OPTIONS = ("layout", "encoding", "labels_column", "unlabelled_classes", "stretch")
"""Keys of a form, of JSON and of Upload-Metadata."""
_MOST_CLASSES = 100


_Said = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"),
]
"""Something is said, in one line."""


class ChosenLayout(BaseModel):
    """Which of the offered readings is meant."""

    model_config = ConfigDict(extra="forbid")

    layout: str = Field(min_length=1, max_length=256, description="An id of `layout.readings`.", examples=["folders:2"])


class Said(BaseModel):
    """The options as they may be sent in JSON."""

    model_config = ConfigDict(extra="forbid")

    layout: _Said | None = Field(default=None, description=LAYOUT)
    encoding: Annotated[_Said, StringConstraints(max_length=40)] | None = Field(default=None, description=ENCODING)
    labels_column: _Said | None = Field(default=None, description=LABELS_COLUMN)
    unlabelled_classes: list[_Said] | None = Field(
        default=None, max_length=_MOST_CLASSES, description=UNLABELLED_CLASSES
    )
    stretch: bool | None = Field(default=None, description=STRETCH)


def from_json(said: Said) -> dict[str, Any]:
    """Those that were said."""
    return said.model_dump(include=set(OPTIONS), exclude_none=True)


def from_texts(values: Mapping[str, str], where: str = "body") -> dict[str, Any]:
    """Of a form or of Upload-Metadata: those that were said.

    Raises:
        RequestValidationError: a value that cannot be.
    """
    sent: dict[str, Any] = {key: value for key, value in values.items() if key in OPTIONS and value.strip()}
    if "unlabelled_classes" in sent:
        sent["unlabelled_classes"] = [name for name in map(str.strip, sent["unlabelled_classes"].split(",")) if name]
    try:
        return from_json(Said.model_validate(sent))
    except ValidationError as error:
        raise RequestValidationError(
            [{"type": e["type"], "loc": (where, *e["loc"]), "msg": e["msg"]} for e in error.errors()]
        ) from error


def options(*said: Mapping[str, Any]) -> ImportOptions:
    """All together; what stands first counts."""
    merged: dict[str, Any] = {}
    for one in reversed(said):
        merged.update(one)
    return ImportOptions.model_validate(merged)


async def from_query(
    layout: Annotated[_Said | None, Query(description=LAYOUT)] = None,
    encoding: Annotated[_Said | None, Query(description=ENCODING)] = None,
    labels_column: Annotated[_Said | None, Query(description=LABELS_COLUMN)] = None,
    unlabelled_classes: Annotated[
        list[_Said] | None, Query(max_length=_MOST_CLASSES, description=UNLABELLED_CLASSES)
    ] = None,
    stretch: Annotated[bool | None, Query(description=STRETCH)] = None,
) -> dict[str, Any]:
    """Those that were said."""
    values = {
        "layout": layout,
        "encoding": encoding,
        "labels_column": labels_column,
        "unlabelled_classes": unlabelled_classes,
        "stretch": stretch,
    }
    return {key: value for key, value in values.items() if value is not None}
