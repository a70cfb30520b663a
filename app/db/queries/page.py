"""A page of a list. Lists are read by key: no offset, so a page costs the same anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import Session

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """One page of a list, and whether there are more behind it."""

    items: Sequence[Row]
    has_more: bool


def page_of(session: Session, statement: Select[Row], limit: int) -> Page[Row]:
    rows = session.scalars(statement.limit(limit + 1)).all()
    return Page(rows[:limit], has_more=len(rows) > limit)
