"""What the JSON of many routes shares."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, Literal, Self, TypeVar

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from app.domain.base import Shown

A_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
A_TIME = "2026-01-15T09:30:00Z"
"""For examples."""
Item = TypeVar("Item", bound=BaseModel)


class ListPage(Shown, Generic[Item]):
    """One page of a list. Pass `last_id` as `after` to get the next while `has_more` is true."""

    # pydantic would look for the source of `ListPage[…]`, which has none, and does not hand the text above on to it
    model_config = ConfigDict(
        use_attribute_docstrings=False,
        json_schema_extra={"description": "One page of a list. While `has_more` is true, pass `last_id` as `after`."},
    )

    object: Literal["list"] = "list"
    data: list[Item] = Field(description="The items of this page.")
    first_id: str | None = Field(
        default=None, description="Id of the first item on this page; null if the page is empty."
    )
    last_id: str | None = Field(default=None, description="Id of the last item on this page; pass it as `after`.")
    has_more: bool = Field(description="Whether more items follow.")

    @classmethod
    def from_items(cls, items: Iterable[Item], ids: Sequence[str], *, has_more: bool) -> Self:
        return cls(
            data=list(items), first_id=ids[0] if ids else None, last_id=ids[-1] if ids else None, has_more=has_more
        )


class Failure(Shown):
    """Why a job failed or a data set was rejected; the fields are those of an HTTP problem."""

    model_config = ConfigDict(extra="ignore")

    code: str = Field(description="The kind of failure, for programs.", examples=["dataset_rejected"])
    title: str | None = Field(
        default=None, description="The failure in a few words; the same for every one of its code."
    )
    detail: str = Field(description="What happened this time.", examples=["The archive holds no image."])
    hint: str | None = Field(default=None, description="How to fix it.")


class Health(Shown):
    """The health of the service."""

    status: Literal["ok"] = Field(default="ok", description="Whether it answers.")
    checks: dict[str, Literal["ok", "away"]] = Field(
        default={},
        description="The state of each backing service.",
        examples=[{"database": "ok", "broker": "ok", "storage": "ok"}],
    )
    workers: dict[str, int] = Field(
        default={},
        examples=[{"training": 1, "datasets": 1}],
        description="Workers that give signs of life, by queue. Without one requests are still accepted, and wait.",
    )


def as_json(shown: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """As FastAPI would send it, but from the route's own thread: FastAPI goes to another one for it, which costs a
    request under load as much as a query, with the session still open."""
    return Response(shown.model_dump_json(), status, headers, media_type="application/json")
