"""Which column of a table may be the class, and which others may be it as well."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from app.domain.errors import DatasetRejected
from app.reading.tables.headings import BARE_LABEL_NAMES, LABEL_NAMES, METADATA, SAY_SO, SELDOM_ALONE, WEAK, bare
from app.reading.tables.table import Row, Table

_MOST_CANDIDATES = 5
"""Columns that are offered as the class: each is read as a whole."""
_NEARLY_ALL = 0.9
_FEW_ROWS = 6
"""Of so few rows, each may well be of another class."""
_NO_CLASS = re.compile(
    r"-?[0-9]*\.[0-9]*[1-9][0-9]*(e-?[0-9]+)?|-?[0-9.]+e-?[0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2}.*|[\[{].*"
)
"""Fractions, dates and JSON; `1.000000` is a class, as im2rec writes it."""


class ClassColumns(NamedTuple):
    """Columns that may be the class, by number."""

    labels: Sequence[int] = ()
    """The likeliest first; of several a person is asked which one is meant."""
    known: bool = False
    """Whether the first is called like a class, or there is no other."""
    beside: Sequence[int] = ()
    """Less likely ones, to be told of: each divides the images in another way."""


def find_class_columns(
    table: Table, heading: Sequence[str] | None, body: Sequence[Row], others: Sequence[int]
) -> ClassColumns:
    """
    Args:
        table: the table.
        heading: of its columns; None where it has none.
        body: some of its rows.
        others: the columns that hold neither paths nor splits.

    Raises:
        DatasetRejected: two columns have the heading of the class.
    """
    filled = [i for i in others if any(i < len(cells) and cells[i] for _, cells in body)]
    if heading is not None:
        by_name = {i: bare(heading[i]) for i in others if i < len(heading)}
        if "x" in map(bare, heading):  # then `y` is a place
            by_name = {i: head for i, head in by_name.items() if head != "y"}
        called = [i for name in LABEL_NAMES for i, head in by_name.items() if head == bare(name)]
        if called:
            if Counter(by_name.values())[by_name[called[0]]] > 1:
                raise DatasetRejected(
                    f"The first line of {table.file} is {','.join(heading)[:100]!r}: one heading stands there twice.",
                    hint="Give each column its own heading.",
                )
            return _among_called(body, by_name, called, filled)
    if len(filled) == 1:
        return ClassColumns([] if nearly_all_differ(_cells(body, filled[0])) else filled, heading is None)
    candidates = [i for i in filled if may_be_class(body, i)][:_MOST_CANDIDATES]
    return ClassColumns(candidates, heading is None and len(candidates) == 1)


def _among_called(
    body: Sequence[Row], by_name: dict[int, str], called: Sequence[int], filled: Sequence[int]
) -> ClassColumns:
    """Of columns that are called like classes: one where they agree, or where one says so itself; else several."""
    varied = [i for i in called if len(set(_cells(body, i))) > 1] or called
    texts = [i for i in varied if not _are_numbers(body, i)]
    first = varied[0]
    if _are_numbers(body, first):  # a name says more than its number
        first = next((i for i in texts if same_groups(body, first, i)), first)
    differing = [first]
    for i in (*texts, *varied):
        if may_be_class(body, i) and not any(same_groups(body, i, one) for one in differing):
            differing.append(i)
    strong = by_name[first] not in WEAK | SELDOM_ALONE
    number = _are_numbers(body, first)
    rivals = [i for i in differing[1:] if not (strong and by_name[i] in WEAK and (not number or _are_numbers(body, i)))]
    sure = by_name[first] in SAY_SO and not _are_numbers(body, first)
    if sure:
        outranked = [i for i in rivals if by_name[i] not in SAY_SO]
        return ClassColumns([first, *(i for i in rivals if i not in outranked)], known=True, beside=outranked)
    beside: list[int] = []
    for i in filled:
        name = by_name.get(i, "")
        unknown = name not in BARE_LABEL_NAMES | METADATA and not name.endswith("id") and not _are_numbers(body, i)
        if (
            len(beside) < _MOST_CANDIDATES
            and unknown
            and may_be_class(body, i)
            and not any(same_groups(body, i, one) for one in (*differing, *beside))
        ):
            beside.append(i)
    likeliest = [first, *rivals] if not _are_numbers(body, first) else [*rivals, first]
    return ClassColumns(likeliest, known=True, beside=beside)


def may_be_class(body: Sequence[Row], column: int) -> bool:
    """Few values, each in several rows, that are no measurements."""
    cells = _cells(body, column)
    values = set(cells)
    return 2 <= len(values) <= max(2, len(cells) // 2) and not any(map(_NO_CLASS.fullmatch, values))


def same_groups(body: Sequence[Row], one: int, other: int) -> bool:
    """Whether two columns put the same rows together, whatever they call the groups."""
    pairs = {
        (cells[one], cells[other]) for _, cells in body if max(one, other) < len(cells) and cells[one] and cells[other]
    }
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def line_of_several(body: Sequence[Row], path: int, labels: Sequence[int]) -> int | None:
    """The first line with more labels than others have, where rows without a heading are as long as they have labels:
    `a.jpg,lemon` and `b.jpg,lemon,ripe`."""
    after = [i for i in labels if i > path]
    if not after:
        return None
    start = min(after)
    lengths = {len(cells) for _, cells in body if len(cells) > start}
    if len(lengths) < 2:
        return None
    for line, cells in body:
        more = [cell for cell in cells[min(lengths) :] if cell]
        if more and not any(re.fullmatch(r"-?[0-9.]+(e-?[0-9]+)?", cell) for cell in more):
            return line
    return None


def nearly_all_differ(cells: Sequence[str]) -> bool:
    """Captions, hashes and paths."""
    return len(cells) >= _FEW_ROWS and len(set(cells)) > _NEARLY_ALL * len(cells)


def _cells(body: Sequence[Row], column: int) -> list[str]:
    return [cells[column] for _, cells in body if column < len(cells) and cells[column]]


def _are_numbers(body: Sequence[Row], column: int) -> bool:
    return all(re.fullmatch(r"-?[0-9.]*", cells[column]) for _, cells in body if column < len(cells))
