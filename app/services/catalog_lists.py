"""Lists of the catalogue: which teachers and students fit, and in what order.

What a worker has measured of a network is a field of its card like any other: it is filtered by in a `…Filter`, and
sorted by once it stands in `_SORTED_BY`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from sqlalchemy.orm import Session

from app.db.queries.page import Page
from app.domain.catalog import StudentCard, TeacherCard
from app.domain.errors import InvalidRequest
from app.services.catalog import Card, offer

StudentSort = Literal["name", "-name", "parameters", "-parameters"]
TeacherSort = Literal["name", "-name", "parameters", "-parameters", "input_size", "-input_size"]
"""A minus sign stands for descending order."""

_SORTED_BY: dict[str, Callable[[Any], Any]] = {
    "parameters": lambda card: card.parameters,
    "input_size": lambda card: card.input_size,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFilter:
    """What both kinds of cards are asked for."""

    q: str = ""
    """Contained in the name or family, in upper or lower case."""
    family: str | None = None
    min_params: int | None = None
    max_params: int | None = None

    def fits(self, card: TeacherCard | StudentCard) -> bool:
        needle = self.q.casefold()
        return (
            (needle in card.name.casefold() or needle in card.family.casefold())
            and self.family in {None, card.family}
            and _within(card.parameters, self.min_params, self.max_params)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherFilter(CardFilter):
    licence: str = ""
    """Contained in the licence, in upper or lower case."""
    max_input_size: int | None = None

    def admits(self, card: TeacherCard) -> bool:
        return (
            self.fits(card)
            and self.licence.casefold() in card.licence.casefold()
            and _within(card.input_size, None, self.max_input_size)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentFilter(CardFilter):
    image_size: int | None = None
    """Those that can be trained on images of this side."""

    def admits(self, card: StudentCard) -> bool:
        return self.fits(card) and self.image_size not in card.refused_sizes


def teachers(
    session: Session,
    wanted: TeacherFilter = TeacherFilter(),
    *,
    sort: TeacherSort = "name",
    after: str | None,
    limit: int,
) -> Page[TeacherCard]:
    """A page of those that fit.

    Raises:
        CatalogEmpty: if no worker has ever registered.
        InvalidRequest: if the place of `after` in this order is unknown.
    """
    return _page(_behind(offer(session).teachers, wanted.q, sort, after), wanted.admits, limit)


def students(
    session: Session,
    wanted: StudentFilter = StudentFilter(),
    *,
    sort: StudentSort = "name",
    after: str | None,
    limit: int,
) -> Page[StudentCard]:
    """As `teachers`, of students."""
    return _page(_behind(offer(session).students, wanted.q, sort, after), wanted.admits, limit)


def _behind(cards: Mapping[str, Card], q: str, sort: str, after: str | None) -> Iterable[Card]:
    """All cards in this order, those behind the one named `after`."""
    if sort in {"name", "-name"}:
        # `after` may have left the catalogue since the last page, and still has its place
        names = _by_name({*cards, *([] if after is None else [after])}, q.casefold(), descending=sort == "-name")
        return [cards[name] for name in names[0 if after is None else names.index(after) + 1 :]]
    ordered = _ordered(cards.values(), sort)
    if after is None:
        return ordered
    if after in cards:
        return ordered[ordered.index(cards[after]) + 1 :]
    raise InvalidRequest(
        "after: Nothing in the catalogue has this name, so its place in this order is unknown.",
        hint="Begin again without `after`.",
        param="after",
    )


def _by_name(names: Iterable[str], needle: str, *, descending: bool) -> list[str]:
    """Those that contain what is searched for come before those whose family alone does."""
    return sorted(sorted(names, reverse=descending), key=lambda name: needle not in name.casefold())


def _ordered(cards: Iterable[Card], sort: str) -> list[Card]:
    """What is unknown comes last, and equals by their names, in either direction."""
    value = _SORTED_BY[sort.removeprefix("-")]
    by_name = sorted(cards, key=lambda card: card.name)
    known = sorted((card for card in by_name if value(card) is not None), key=value, reverse=sort.startswith("-"))
    return known + [card for card in by_name if value(card) is None]


def _page(cards: Iterable[Card], admits: Callable[[Card], bool], limit: int) -> Page[Card]:
    found = list(islice((card for card in cards if admits(card)), limit + 1))
    return Page(found[:limit], has_more=len(found) > limit)


def _within(value: int | None, least: int | None, most: int | None) -> bool:
    """Of an unknown value nobody knows that it keeps to a bound."""
    if least is None and most is None:
        return True
    return value is not None and (least is None or value >= least) and (most is None or value <= most)
