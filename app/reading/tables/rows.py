"""What the rows of one table say of the images that are there."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from app.domain.dataset import Split
from app.reading.listing import folder_of
from app.reading.paths.matching import SEVERAL, Found, PathIndex
from app.reading.reading import named
from app.reading.tables.columns import Columns, is_flagged, is_one
from app.reading.tables.one_label import is_nested, unwrapped_cell
from app.reading.tables.table import Table, rejected
from app.reading.words import is_number, is_unlabelled, split_of

MAX_LABEL_BYTES = 255
"""As for a class folder: what a file system allows as one name."""
_COMMENTS = re.compile(r"\ufeff?(?:#[^\r\n]*(?:\r\n?|\n))+")
LISTED_ROWS = 20
"""Rows that a message names."""


class Missing(NamedTuple):
    """A row whose file was not found."""

    line: int
    cell: str
    match: Found


@dataclass
class Rows:
    """What the rows of one table say."""

    labels: dict[str, str | None] = field(default_factory=dict)
    splits: dict[str, Split] = field(default_factory=dict)
    unlabelled: int = 0
    missing: list[Missing] = field(default_factory=list)
    missing_total: int = 0
    missing_why: Counter[str] = field(default_factory=Counter)
    without_path: int = 0
    first_without_path: tuple[int, str] | None = None
    """Its line, and what stands there."""
    conflicts: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    several: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By path: the line, and its labels."""
    boxed: int = 0
    """Rows whose label is that of a box or shape."""
    without_split: int | None = None
    by_name_alone: int = 0
    """Rows whose folders are not those of the file that they found."""
    assumed: int = 0
    """Names that are in folders of several splits, taken for those of train."""
    how: Counter[str] = field(default_factory=Counter)
    total: int = 0


def without_comments(table: Table) -> Table:
    """Without the lines before the heading that begin with `#`, which stay as blank ones, so that lines keep their
    numbers. A heading may begin so itself: it has as many cells as the line below it."""
    if table.is_json or table.delimiter == " ":
        return table
    block = _COMMENTS.match(table.text)
    if block is None or block.end() == len(table.text):
        return table

    def width(line: str) -> int:
        return line.count(table.delimiter) + 1

    lines = block[0].splitlines(keepends=True)
    below = width(table.text[block.end() :].partition("\n")[0])
    kept = [width(line) == below and (line is lines[-1] or not line.startswith("# ")) for line in lines]
    blanked = [line if keep else line[len(line.rstrip("\r\n")) :] for line, keep in zip(lines, kept, strict=True)]
    return replace(table, text="".join(blanked) + table.text[block.end() :])


def read_rows(table: Table, columns: Columns, label: int, index: PathIndex, split: Split | None = None) -> Rows:
    """All rows of a table, one by one.

    Args:
        table: the table.
        columns: what they mean.
        label: the column of the class.
        index: of the images.
        split: of the whole table, as its name or its place tells; a column of splits says more.
    """
    split = None if columns.split is not None else split
    found = _read(table, columns, label, index, split)
    ambiguous = found.missing_why[SEVERAL]
    if ambiguous and split is None and columns.split is None:
        train = _read(table, columns, label, index, Split.TRAIN)
        if not train.missing_total and train.labels.keys() | train.several.keys() == index.all_of(Split.TRAIN):
            train.assumed = ambiguous
            return train
    return found


def _read(table: Table, columns: Columns, label: int, index: PathIndex, split: Split | None) -> Rows:
    found = Rows()
    folder = folder_of(table.file)
    rows = table.rows()
    if columns.heading is not None and not table.is_json:
        next(rows, None)
    for line, cells in rows:
        if len(cells) > columns.width or (
            columns.heading and len(cells) > len(columns.heading) and any(cells[len(columns.heading) :])
        ):
            width = len(columns.heading or ()) or columns.width
            raise rejected(
                table.file, line, f"has {len(cells)} columns instead of {width}", "Quote names that contain a comma."
            )
        cell = cells[columns.path] if columns.path < len(cells) else ""
        if not cell:
            if any(cells):  # a sum below the table, or a row that is not filled in
                found.without_path += 1
                found.first_without_path = found.first_without_path or (line, ",".join(cells))
            continue
        found.total += 1
        own = _split(table, columns, line, cells)
        match = index.find(cell, folder, split)
        if match.how == SEVERAL:
            match = index.find(cell, folder, own or split, _further(columns, label, cells))
        if match.path is None or (columns.anchored and not match.anchored):
            found.missing_total += 1
            found.missing_why[match.how if match.path is None else ""] += 1
            if len(found.missing) < LISTED_ROWS:
                found.missing.append(Missing(line, cell, match))
            continue
        found.how[match.how] += 1
        found.by_name_alone += not match.anchored
        _add(found, table, columns, label, line, cells, match.path, own)
    if not found.total and found.first_without_path is not None:
        raise rejected(
            table.file, found.first_without_path[0], "has an empty path", "Give each row the path of its image."
        )
    return found


def _further(columns: Columns, label: int, cells: Sequence[str]) -> list[str]:
    """Cells that may name a folder of the file. A number counts something, and a class need not be its folder."""
    known = {columns.path, label, *columns.one_hot}
    return [cell for i, cell in enumerate(cells) if cell and i not in known and not is_number(cell)]


def _add(
    found: Rows,
    table: Table,
    columns: Columns,
    label: int,
    line: int,
    cells: list[str],
    path: str,
    split: Split | None,
) -> None:
    if split is None and columns.split is not None:
        found.without_split = found.without_split or line
    said = _label(found, table, columns, label, line, cells, path)
    if path in found.several:
        return
    blank = not said or is_unlabelled(said)
    found.unlabelled += blank
    value = None if blank or split is Split.UNLABELLED else said
    if path in found.labels and found.labels[path] != value and value is not None and found.labels[path] is not None:
        found.conflicts.setdefault(path, (line, found.labels[path] or "", value))
        return
    if path not in found.labels or found.labels[path] is None:
        found.labels[path] = value
    if split is not None and split is not Split.UNLABELLED:
        found.splits[path] = split


def _label(found: Rows, table: Table, columns: Columns, label: int, line: int, cells: list[str], path: str) -> str:
    """Empty where there is none."""
    if columns.one_hot:
        ones = [i for i in columns.one_hot if i < len(cells) and is_one(cells[i])]
        if len(ones) > 1:
            found.several[path] = line, named([columns.name(one).strip() for one in ones], 4)
        value = columns.name(ones[0]).strip() if ones else ""
    else:
        value = cells[label] if label < len(cells) else ""
        if is_nested(value):
            inner, boxed = unwrapped_cell(value)
            if inner is None:
                found.several[path] = line, value
                return ""
            found.boxed += boxed
            value = inner
    if not value.isprintable() or len(value.encode(errors="replace")) > MAX_LABEL_BYTES:
        raise rejected(table.file, line, f"has a label that is too long or not printable: {value[:100]!r}")
    return value


def _split(table: Table, columns: Columns, line: int, cells: list[str]) -> Split | None:
    if columns.split is None:
        return None
    value = cells[columns.split] if columns.split < len(cells) else ""
    if columns.flag is not None:
        other = Split.TEST if columns.flag is Split.TRAIN else Split.TRAIN
        return columns.flag if is_flagged(value) else other
    if not value:
        return None
    split = split_of(value)
    if split is None:
        raise rejected(
            table.file, line, f"names an unknown split {value[:100]!r}", "Use train, val, test or unlabeled."
        )
    return split
