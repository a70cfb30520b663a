"""Readings from tables: any file of rows that names images and tells a class for each."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from app.domain.dataset import Reason, Split
from app.domain.errors import DatasetRejected
from app.domain.placement import Placement
from app.reading.context import Context
from app.reading.listing import folder_of, stem_of
from app.reading.paths.matching import PathIndex
from app.reading.paths.split_folders import list_split, table_splits
from app.reading.reading import Reading, Refusal, Strength, named, quoted
from app.reading.tables.columns import Columns, find_columns
from app.reading.tables.doubts import doubts, joined, several_in_a_row, spelled, understood
from app.reading.tables.given_splits import by_folders, check_each_has_a_split, given_splits, list_splits
from app.reading.tables.groups import column_in, groups, is_own
from app.reading.tables.headings import is_about_data
from app.reading.tables.rows import Rows, read_rows, without_comments
from app.reading.tables.strength import leave_to_folders, strength
from app.reading.tables.table import Table
from app.reading.tables.telling import evidence, not_there, warnings
from app.reading.words import folded, is_unlabelled

_LEAST_MATCHED = 0.5
"""Share of a table's rows, and of the images, below which it is about other images. Who packs some images of many
leaves the table as it was."""
_ONE_HOT = -1
"""In place of the column of the class."""


def table_readings(context: Context, tables: Sequence[Table]) -> Iterator[Reading | Refusal]:
    """One for each table or set of tables with the same columns; several where the class may be one of several
    columns."""
    index = context.index
    split_of_file = table_splits([table.file for table in tables], context.listing.root)
    with_columns: list[tuple[Table, Columns]] = []
    without: list[tuple[Table, DatasetRejected]] = []
    for table in map(without_comments, tables):
        if is_submission(table.file):
            context.ignore(table.file, "a sample of what to hand in, not labels")
            continue
        try:
            columns = find_columns(
                table, folder_of(table.file), index.of_any_split, context.labels_column, trusted=is_own(table.file)
            )
        except DatasetRejected as error:
            if not is_about_data(table.file):
                without.append((table, error))
            continue
        if columns is None:
            if is_own(table.file):
                yield _no_columns(table)
        elif is_about_data(table.file) and not (columns.known and columns.heading is not None):
            context.ignore(table.file, "it is called like a text about the data set, not like labels")
        else:
            with_columns.append((spelled(table, columns), columns))
    if without and not with_columns:
        raise without[0][1]
    with_columns += _of_splits(context, [table for table, _ in without])
    for group in groups(with_columns, split_of_file):
        yield from _of_group(context, group, split_of_file)


def _of_splits(context: Context, tables: Sequence[Table]) -> Iterator[tuple[Table, Columns]]:
    """Tables without the column that the caller has named for the classes may still tell the splits."""
    for table in tables:
        with suppress(DatasetRejected):
            columns = find_columns(table, folder_of(table.file), context.index.of_any_split, None, trusted=False)
            if columns is not None:
                yield spelled(table, columns), replace(columns, labels=(), one_hot=())


def _of_group(
    context: Context, group: list[tuple[Table, Columns]], split_of_file: Mapping[str, Split]
) -> Iterator[Reading | Refusal]:
    index = context.index
    _, columns = group[0]
    if not columns.labels and not columns.one_hot:
        headings = named([head for head in columns.heading or () if head], 8)
        has = f"the columns {headings}" if headings else f"{columns.width} columns without a heading"
        for listed, found in group:
            if columns.width == 1 and list_split(listed.file) is not None:
                context.listed_splits[listed.file] = _listed(listed, found, index, split_of_file.get(listed.file))
            elif list_splits(context, listed, found):
                context.ignore(listed.file, "it lists the images of splits and tells no classes")
            else:
                none = "no column tells a class" if context.labels_column is None else "none is the `labels_column`"
                context.ignore(listed.file, f"it has {has}: it names images, but {none}")
        return
    several = several_in_a_row(group)
    if several is not None:
        yield several
        return
    ways: list[tuple[Sequence[int], int]] = [(columns.one_hot, _ONE_HOT)] if columns.one_hot else []
    ways += [((), label) for label in columns.labels]
    for one_hot, label in ways:
        seen = [(t, replace(c, one_hot=[column_in(c, columns, i) for i in one_hot])) for t, c in group]
        read = [
            (t, c, read_rows(t, c, column_in(c, columns, label), index, split_of_file.get(t.file))) for t, c in seen
        ]
        yield from _reading(context, read, label, several=len(ways) > 1)


def _reading(
    context: Context, read: list[tuple[Table, Columns, Rows]], label: int, *, several: bool
) -> Iterator[Reading | Refusal]:
    table, columns, _ = read[0]
    files = [t.file for t, _, _ in read]
    what = named(files, 3)
    total, matched = sum(r.total for *_, r in read), sum(len(r.labels) for *_, r in read)
    several_labels = {path: (t.file, line, told) for t, _, r in read for path, (line, told) in r.several.items()}
    if not total:
        yield Refusal(what, f"{table.file} names no image.", "Add one line per image.", Strength.WEAK, frozenset(files))
        return
    if len(several_labels) > total * 0.02:
        file, line, told = next(iter(several_labels.values()))
        yield Refusal(
            what,
            f"{file} gives several labels to one image (line {line} and {len(several_labels) - 1} more), such as "
            f"{told[:120]}; a classifier knows one class per image.",
            "Keep one label per image, or make one data set for each question.",
            files=frozenset(files),
        )
        return
    missing = sum(r.missing_total for *_, r in read)
    most_missing = missing >= (1 - _LEAST_MATCHED) * total and matched <= missing
    if most_missing and matched < _LEAST_MATCHED * len(context.listing.images):
        yield not_there(read, context.index, what, missing, total)
        return
    refusal = joined(read, label, asked=several)
    if refusal is not None:
        yield refusal
        return
    skipped: dict[str, Reason] = {}
    splits, split_words, contradictions = given_splits(read)
    check_each_has_a_split(read)
    placed, conflicts = _placed(read, splits)
    if len(conflicts) > 0.1 * len(placed):
        file, (line, one, other) = next(iter(conflicts.values()))
        path = next(iter(conflicts))
        where = f"{file}, line {line}" if line else file
        yield Refusal(
            what,
            f"{where} names {path!r} again, as {other!r} after {one!r}: {len(conflicts)} images have several labels.",
            "Name each image once; a classifier knows one class per image.",
            files=frozenset(files),
        )
        return
    for path in conflicts:
        del placed[path]
        skipped[path] = Reason("has two labels", f"has two labels in {conflicts[path][0]}")
    for path, (file, *_) in several_labels.items():
        placed.pop(path, None)
        skipped[path] = Reason("has several labels", f"has several labels in {file}")
    if not splits and not any(r.splits for *_, r in read):
        placed, split_words = by_folders(placed)
    named_there = placed.keys() | skipped.keys()
    for path in context.listing.images:
        if path not in named_there:
            if any(is_unlabelled(folder) for folder in path.split("/")[:-1]):
                placed[path] = Placement(Split.UNLABELLED, None)
            else:
                skipped[path] = context.index.aside(path) or Reason(f"is not named in {' or '.join(files[:2])}")
    leave_to_folders(context, read, label)
    yield Reading(
        id=_id(files, columns, label, several=several),
        source=_source(columns, label, what),
        placements=placed,
        strength=strength(context, read, label, several=several),
        splits=split_words,
        skipped=skipped,
        evidence=[*evidence(read, matched, total, len(context.listing.images)), *understood(read)],
        warnings=[
            *warnings(context, read, columns, label, missing, total, conflicts),
            *doubts(read, label, asked=several),
            *contradictions,
        ],
        used=frozenset(files),
    )


def _placed(
    read: Sequence[tuple[Table, Columns, Rows]], splits: Mapping[str, Split]
) -> tuple[dict[str, Placement], dict[str, tuple[str, tuple[int, str, str]]]]:
    """The images of all tables; and those with two labels, each with the file that contradicts, the line and both."""
    placed: dict[str, Placement] = {}
    conflicts: dict[str, tuple[str, tuple[int, str, str]]] = {}
    kept: dict[tuple[Split, str | None], Placement] = {}
    for t, _, rows in read:
        for path, value in rows.labels.items():
            split = rows.splits.get(path) or splits.get(path) or Split.TRAIN
            key = (Split.UNLABELLED, None) if value is None else (split, value)
            placement = kept.setdefault(key, Placement(*key))
            before = placed.setdefault(path, placement)
            if before.label != placement.label and before.label is not None and value is not None:
                conflicts[path] = t.file, (0, before.label, value)
            elif before.label is None:
                placed[path] = placement
        conflicts.update({path: (t.file, conflict) for path, conflict in rows.conflicts.items()})
    return placed, conflicts


def _id(files: Sequence[str], columns: Columns, label: int, *, several: bool) -> str:
    column = "one-hot" if label == _ONE_HOT else columns.name(label)[:80]
    return f"table:{files[0][:150]}" + (f":{column}" if several else "")


def _source(columns: Columns, label: int, what: str) -> str:
    if columns.one_hot:
        return f"the 1 in {len(columns.one_hot)} columns of {what}"
    if columns.heading is None:
        return f"column {label + 1} of {what}"
    return f"the column {quoted(columns.name(label))} of {what}"


def _listed(table: Table, columns: Columns, index: PathIndex, split: Split | None) -> frozenset[str]:
    """The images of a file that lists the images of a split."""
    found = (index.find(cells[columns.path], folder_of(table.file), split).path for _, cells in table.rows() if cells)
    return frozenset(path for path in found if path is not None)


def _no_columns(table: Table) -> Refusal:
    first = table.sample(1)
    heading = list(table.keys) if table.is_json else first[0][1] if first else []
    if not heading:
        detail = f"{table.file} is empty." if not table.text.strip() else f"{table.file} names no image."
    else:
        detail = (
            f"The first line of {table.file} is {','.join(heading)[:100]!r}, and no column names images that are there."
        )
    return Refusal(
        quoted(table.file),
        detail,
        "Give it one column with the images' paths, such as `path`, and one with their classes, such as `label`.",
        Strength.CLEAN,
        frozenset({table.file}),
    )


def is_submission(file: str) -> bool:
    return "submission" in folded(stem_of(file))
