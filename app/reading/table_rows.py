"""What the rows of one table say of the images that are there."""

from collections import Counter
from dataclasses import dataclass, field

from app.domain.dataset import Split
from app.reading.columns import Columns, is_flagged, is_one
from app.reading.listing import folder_of
from app.reading.matching import PathIndex
from app.reading.tables import Table, rejected
from app.reading.words import is_unlabelled, split_of

MAX_LABEL_BYTES = 255
"""As for a class folder: what a file system allows as one name."""
LISTED_ROWS = 20
"""Rows that a message names."""


@dataclass
class Rows:
    """What the rows of one table say."""

    labels: dict[str, str | None] = field(default_factory=dict)
    splits: dict[str, Split] = field(default_factory=dict)
    unlabelled: int = 0
    missing: list[tuple[int, str]] = field(default_factory=list)
    missing_total: int = 0
    ambiguous: int = 0
    conflicts: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    several: list[int] = field(default_factory=list)
    without_split: int | None = None
    how: Counter[str] = field(default_factory=Counter)
    total: int = 0


def read_rows(table: Table, columns: Columns, label: int, index: PathIndex) -> Rows:
    """All rows of a table, one by one."""
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
            if any(cells):
                raise rejected(table.file, line, "has an empty path")
            continue
        found.total += 1
        match = index.find(cell, folder)
        if match.path is None or (columns.anchored and not match.anchored):
            found.missing_total += 1
            found.ambiguous += match.how == "several"
            if len(found.missing) < LISTED_ROWS:
                found.missing.append((line, cell))
            continue
        found.how[match.how] += 1
        _add(found, table, columns, label, line, cells, match.path)
    return found


def _add(found: Rows, table: Table, columns: Columns, label: int, line: int, cells: list[str], path: str) -> None:
    split = _split(table, columns, line, cells)
    if split is None and columns.split is not None:
        found.without_split = found.without_split or line
    value = _label(found, table, columns, label, line, cells)
    if split is Split.UNLABELLED:
        value = None
    if path in found.labels and found.labels[path] != value and value is not None and found.labels[path] is not None:
        found.conflicts.setdefault(path, (line, found.labels[path] or "", value))
        return
    if path not in found.labels or found.labels[path] is None:
        found.labels[path] = value
    if split is not None and split is not Split.UNLABELLED:
        found.splits[path] = split


def _label(found: Rows, table: Table, columns: Columns, label: int, line: int, cells: list[str]) -> str | None:
    if columns.one_hot:
        ones = [i for i in columns.one_hot if i < len(cells) and is_one(cells[i])]
        if len(ones) > 1:
            found.several.append(line)
        value = columns.name(ones[0]).strip() if ones else ""
    else:
        value = cells[label] if label < len(cells) else ""
        if value[:1] in "[{" and value[-1:] in "]}" and len(value) > 1:
            found.several.append(line)
    if not value or is_unlabelled(value):
        found.unlabelled += 1
        return None
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
