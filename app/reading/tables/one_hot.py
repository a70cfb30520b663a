"""Tables that have a column for each class, with a 1 for the class of a row."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from app.reading.tables.table import Row

_BINARY = frozenset({"0", "1", "0.0", "1.0", "", "true", "false"})
_NEARLY_ALL = 0.9
_HARDLY_ANY = 0.02
_TRIED = 3
"""Columns that may be about something else, each tried by itself."""


class OneHot(NamedTuple):
    """What was found."""

    columns: Sequence[int] = ()
    sure: bool = False
    """Whether it can mean nothing else: nearly every row has exactly one 1, or many have several."""
    left_out: Sequence[int] = ()
    """A column like these that has a 1 beside theirs, such as `verified`."""


def is_one(cell: str) -> bool:
    return cell.lower() in ("1", "1.0", "true")


def find_one_hot(heading: Sequence[str] | None, body: Sequence[Row], others: Sequence[int], *, says_so: bool) -> OneHot:
    """Flags, of which a row may have none or several, are no classes: a person is asked, or told that these are
    several labels.

    Args:
        heading: of the columns.
        body: some rows.
        others: the columns that hold neither paths nor splits.
        says_so: whether the file is documented to be of this kind.
    """
    binary = [
        i
        for i in others
        if (heading is None or (i < len(heading) and heading[i]))
        and (values := {cells[i].lower() for _, cells in body if i < len(cells)})
        and values <= _BINARY
        and values != {""}
    ]
    if len(binary) < 2 or len(body) < 2 or not any(_ones(body, binary)):
        return OneHot()
    if says_so or _single(body, binary) >= _NEARLY_ALL:
        return OneHot(binary, sure=True)
    if len(binary) > 2:
        double = [
            ones for _, cells in body if len(ones := [i for i in binary if i < len(cells) and is_one(cells[i])]) == 2
        ]
        for other, _ in Counter(i for ones in double for i in ones).most_common(_TRIED):
            rest = [i for i in binary if i != other]
            if _single(body, rest) >= _NEARLY_ALL:
                return OneHot(rest, sure=True, left_out=[other])
    if sum(count > 1 for count in _ones(body, binary)) > _HARDLY_ANY * len(body):
        return OneHot(binary, sure=True) if len(binary) > 2 and heading is not None else OneHot()
    used = [i for i in binary if any(_ones(body, [i]))]
    return OneHot(used if len(used) > 1 else ())


def _ones(body: Sequence[Row], columns: Sequence[int]) -> list[int]:
    """Of each row that says anything."""
    rows = [[cells[i] for i in columns if i < len(cells) and cells[i]] for _, cells in body]
    return [sum(map(is_one, cells)) for cells in rows if cells]


def _single(body: Sequence[Row], columns: Sequence[int]) -> float:
    """The share of rows with exactly one 1."""
    ones = _ones(body, columns)
    return sum(count == 1 for count in ones) / max(1, len(ones))
