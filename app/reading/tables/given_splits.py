"""The splits that tables give: by a column, by the names of the tables, or by the folders of their images."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations

from app.domain.dataset import Split
from app.domain.errors import DatasetRejected
from app.domain.placement import Placement
from app.reading.context import Context
from app.reading.listing import name_of, stem_of
from app.reading.paths.split_folders import without_told
from app.reading.reading import named, quoted
from app.reading.tables.columns import Columns
from app.reading.tables.rows import Rows, read_rows
from app.reading.tables.table import Table, rejected
from app.reading.words import splits_of

Read = Sequence[tuple[Table, Columns, Rows]]


@dataclass(frozen=True)
class _Listed:
    """The labelled images of one table, and the split that its name tells."""

    file: str
    paths: frozenset[str]
    split: Split | None


def given_splits(read: Read) -> tuple[dict[str, Split], str | None, list[str]]:
    """By path, where names of tables are splits; what tells the splits; and warnings. Images that only further tables
    name, such as `list.txt` beside `test.txt`, are for training."""
    if any(rows.splits for *_, rows in read):
        _, columns, _ = read[0]
        if columns.split is None:
            return {}, "the rows", []
        column = columns.name(columns.split)
        return {}, column if columns.heading is None else f"the column {quoted(column)}", []
    called = splits_of([without_told(stem_of(table.file)) for table, *_ in read])
    listed = [
        _Listed(
            table.file,
            frozenset(path for path, label in rows.labels.items() if label is not None),
            called.get(without_told(stem_of(table.file))),
        )
        for table, _, rows in read
    ]
    listed, told = _without_contradictions(listed)
    splits = {path: one.split for one in reversed(listed) if one.split is not None for path in one.paths}
    others = {path for one in listed if one.split is None for path in one.paths} - splits.keys()
    if len(set(splits.values()) | ({Split.TRAIN} if others else set())) < 2:
        return {}, None, told
    return splits, named([name_of(one.file) for one in listed if one.split is not None]), told


def _without_contradictions(listed: list[_Listed]) -> tuple[list[_Listed], list[str]]:
    """Held-out images that the table for training holds as well are held out. Where tables contradict each other
    otherwise, as those of several folds do, they tell no split: any choice would put test images into training."""
    parting = [one for one in listed if one.split not in (None, Split.UNLABELLED)]
    pairs = [(a, b) for a, b in combinations(parting, 2) if a.split is not b.split and a.paths & b.paths]
    if not pairs:
        return listed, []
    against = [one for one in parting if any(one in pair for pair in pairs)]
    whole = [one for one in against if one.split is Split.TRAIN]
    parts = [one for one in against if one.split is not Split.TRAIN]
    held_out = frozenset().union(*(part.paths for part in parts))
    if (
        len(whole) == 1
        and all(whole[0] in pair for pair in pairs)
        and all(part.paths <= whole[0].paths for part in parts)
        and held_out < whole[0].paths
    ):
        rest = replace(whole[0], paths=whole[0].paths - held_out)
        told = (
            f"All images of {named([part.file for part in parts], 4)} are in {quoted(whole[0].file)} too: "
            f"{len(held_out):,}. They were held out and are not used for training."
        )
        return [rest if one is whole[0] else one for one in listed], [told]
    shared = len(frozenset().union(*(a.paths & b.paths for a, b in pairs)))
    told = (
        f"{named([one.file for one in against], 4)} put {shared:,} images into several splits, so the splits were not "
        "taken from them. Leave in the archive the tables that are meant."
    )
    return [replace(one, split=None) if one in against else one for one in listed], [told]


def by_folders(placed: dict[str, Placement]) -> tuple[dict[str, Placement], str | None]:
    """Where all images that are named stand in folders called like splits, the splits are these."""
    folders = {folder for path in placed for folder in path.split("/")[:-1]}
    called = splits_of(folders)
    found: dict[str, Split] = {}
    used: set[str] = set()
    for path in placed:
        name = next((f for f in path.split("/")[:-1] if called.get(f) not in (None, Split.UNLABELLED)), None)
        if name is None:
            return placed, None
        found[path] = called[name]
        used.add(name)
    if set(found.values()) == {Split.TEST} or set(found.values()) == {Split.VAL}:
        return placed, None
    kept: dict[tuple[Split, str | None], Placement] = {}
    moved = {}
    for path, placement in placed.items():
        key = (placement.split if placement.label is None else found[path], placement.label)
        moved[path] = kept.setdefault(key, Placement(*key))
    return moved, named(sorted(used))


def check_each_has_a_split(read: Read) -> None:
    """
    Raises:
        DatasetRejected: a row has none, where others have one.
    """
    for table, _, rows in read:
        if rows.without_split is not None and rows.splits:
            raise rejected(
                table.file, rows.without_split, "has an empty split", "Fill in the column everywhere, or leave it out."
            )


def list_splits(context: Context, table: Table, columns: Columns) -> bool:
    """Whether a table whose classes are not taken tells splits. They become lists: `metadata.csv/test` is what a
    `test.txt` would be."""
    splits: dict[str, Split] = {}
    if columns.split is None:
        return False
    with suppress(DatasetRejected):  # it is not used for more
        splits = read_rows(table, columns, columns.width, context.index).splits
    for split in sorted(set(splits.values())):
        images = frozenset(path for path, one in splits.items() if one is split)
        context.listed_splits[f"{table.file}/{split.value}"] = images
    return bool(splits)
