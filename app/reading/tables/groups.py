"""Tables that tell about one data set together."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from app.domain.dataset import Split
from app.reading.listing import name_of
from app.reading.paths.split_folders import beside_list_split
from app.reading.tables.columns import Columns
from app.reading.tables.table import Table
from app.reading.words import folded

OWN_NAMES = frozenset({"labels.csv", "metadata.csv", "metadata.jsonl", "manifest.csv", "_classes.csv", "labels.tsv"})
"""Documented: who writes one of them means it, whatever the folders are called."""

Pair = tuple[Table, Columns]


def is_own(file: str) -> bool:
    return name_of(file).lower() in OWN_NAMES


def groups(tables: Sequence[Pair], split_of_file: Mapping[str, Split]) -> Iterator[list[Pair]]:
    """Tables with the same columns; and tables of different splits that have the same columns for path, class and
    split, in whatever order: a `test.csv` may have notes that `train.csv` lacks."""
    found: list[list[Pair]] = []
    for _, same in groupby(sorted(tables, key=_same_columns), key=_same_columns):
        group = list(same)
        other = next((one for one in found if _of_other_splits(one, group, split_of_file)), None)
        if other is None:
            found.append(group)
        else:
            other += group
    yield from found


def column_in(columns: Columns, of: Columns, column: int) -> int:
    """The number of a column of another table of the group."""
    if columns.heading is None or of.heading is None or columns.heading == of.heading:
        return column
    if not 0 <= column < len(of.heading):
        return column
    heads = [*map(folded, columns.heading)]
    name = folded(of.heading[column])
    return heads.index(name) if name in heads else column


def _same_columns(pair: Pair) -> tuple[object, ...]:
    table, columns = pair
    heading = None if columns.heading is None else tuple(map(folded, columns.heading))
    return (
        heading is None,
        heading or (),
        columns.width if heading is None else 0,
        # without headings, `variant_train.txt` and `family_train.txt` look alike and tell different things
        beside_list_split(table.file) if heading is None else (),
        name_of(table.file) if is_own(table.file) else "",
    )


def _of_other_splits(one: Sequence[Pair], other: Sequence[Pair], split_of_file: Mapping[str, Split]) -> bool:
    meaning = _meaning(one[0])
    if meaning is None or meaning != _meaning(other[0]):
        return False
    splits = [{split_of_file.get(table.file) for table, _ in group} for group in (one, other)]
    return splits[0].isdisjoint(splits[1]) and None not in splits[0] | splits[1]


def _meaning(pair: Pair) -> tuple[object, ...] | None:
    """The headings of the columns that are used; None where there is no heading or no class."""
    table, columns = pair
    classes = columns.one_hot or columns.labels
    if columns.heading is None or not classes:
        return None
    split = None if columns.split is None else folded(columns.name(columns.split))
    return (
        name_of(table.file) if is_own(table.file) else "",
        folded(columns.name(columns.path)),
        split,
        frozenset(folded(columns.name(i)) for i in classes),
        bool(columns.one_hot),
    )
