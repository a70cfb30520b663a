"""Images that came with their labels in one file: parquet and arrow tables of Hugging Face's `datasets`."""

from collections.abc import Iterator, Sequence

from app.domain.dataset import Split
from app.domain.placement import Placement
from app.reading.context import Context
from app.reading.listing import Given, folder_of
from app.reading.reading import Reading, Refusal, Strength, named, quoted
from app.reading.tables.columns import is_flagged
from app.reading.tables.split_columns import SplitColumn, find_split_column
from app.reading.words import folded, is_number, is_unlabelled, split_of, splits_of


def read(context: Context) -> Iterator[Reading | Refusal]:
    given = context.listing.given
    if not given:
        return
    placed: dict[str, Placement] = {}
    kept: dict[tuple[Split, str | None], Placement] = {}
    splits, split_words, warnings = _splits(given)
    for one in given:
        for path, label in one.labels.items():
            name = label
            if label is not None and one.names is not None and is_number(label) and 0 <= int(label) < len(one.names):
                name = one.names[int(label)]
            if name is not None and not name.isprintable():
                name = None
            split = splits.get(path, Split.TRAIN)
            without = name is None or is_unlabelled(name) or split is Split.UNLABELLED
            key = (Split.UNLABELLED, None) if without else (split, name)
            placed[path] = kept.setdefault(key, Placement(*key))
    first = given[0]
    told = [f"{len(placed):,} images lie in {first.format}, each with its label."]
    if first.names is not None:
        told.append(f"It names its classes: {named(first.names, 8)}.")
    yield Reading(
        id="embedded",
        source=f"the column {quoted(first.column)} of {first.format}",
        placements=placed,
        strength=Strength.EXPLICIT,
        splits=split_words,
        evidence=told,
        warnings=warnings,
    )


def _splits(given: Sequence[Given]) -> tuple[dict[str, Split], str | None, list[str]]:
    """By path; what tells them; and what is loud. A column says more than the names of the files."""
    column, splits = _by_column(given)
    blank = sum(len(one.labels) for one in given) - len(splits)
    different = {*splits.values()} - {Split.UNLABELLED}
    if column is not None and not blank and Split.TRAIN in different and len(different) > 1:
        return splits, f"the column {quoted(column)}", []
    folders = {folder_of(path).rstrip("/") for one in given for path in one.labels}
    called = splits_of({part for folder in folders for part in folder.split("/")})
    of_folder = {
        folder: next((called[part] for part in reversed(folder.split("/")) if part in called), None)
        for folder in folders
    }
    if None not in of_folder.values() and Split.TRAIN in of_folder.values():
        by_folder = {
            path: of_folder[folder_of(path).rstrip("/")] or Split.TRAIN for one in given for path in one.labels
        }
        return by_folder, named(sorted({part for f in folders for part in f.split("/") if part in called}), 3), []
    if column is None or different == {Split.TRAIN}:
        return {}, None, []
    which = named(sorted({str(split) for split in splits.values()}))
    why = f"names no split in {blank:,} rows" if blank else f"names no images for training, only {which}"
    return {}, None, [f"The column {quoted(column)} {why}, so the splits are not taken from it."]


def _by_column(given: Sequence[Given]) -> tuple[str | None, dict[str, Split]]:
    """The column that names splits in all of the files, read as that of a table of text; and what it says."""
    heading = [name for name in given[0].like_splits if all(name in one.like_splits for one in given)]
    rows = [row for one in given for row in zip(*(one.like_splits[name] for name in heading), strict=True)]
    found = find_split_column(heading, [(0, [*row]) for row in dict.fromkeys(rows)], len(heading), -1)
    if found.column is None:
        return None, {}
    said = {cell: _said(found, cell) for cell in {row[found.column] for row in rows}}
    paths = (path for one in given for path in one.labels)
    splits = {
        path: split for path, row in zip(paths, rows, strict=True) if (split := said[row[found.column]]) is not None
    }
    return heading[found.column], splits


def _said(found: SplitColumn, cell: str) -> Split | None:
    if found.flag is not None:
        return found.flag if is_flagged(cell) else Split.TEST if found.flag is Split.TRAIN else Split.TRAIN
    return split_of(found.spelled.get(folded(cell), cell))
