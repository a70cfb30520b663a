"""Splits that stand elsewhere than the classes: in lists of files, in another table, in the names of folders."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from app.domain.dataset import Reason, Split
from app.domain.placement import Placement
from app.reading.context import Context
from app.reading.paths.split_folders import is_trainval, list_split
from app.reading.reading import Reading, agree, named, quoted
from app.reading.words import splits_of

_HELD_OUT = (Split.VAL, Split.TEST)


def with_listed_splits(reading: Reading, context: Context) -> Reading:
    """`train.txt` and `test.txt` list the images of the splits. Without a list of train, the rest is train."""
    listed = {file: split for file in context.listed_splits if (split := list_split(file)) is not None}
    if reading.splits is not None or not listed:
        return reading
    by_path: dict[str, Split] = {}
    for file in sorted(listed, key=lambda file: (is_trainval(file), file)):
        for path in context.listed_splits[file]:
            if by_path.setdefault(path, listed[file]) is not listed[file] and not is_trainval(file):
                return _unused(reading, f"{named(sorted(listed), 6)} put some images into several splits")
    labelled = [path for path, p in reading.placements.items() if p.label is not None]
    found = [path for path in labelled if path in by_path]
    lists_train = Split.TRAIN in by_path.values()
    if not found or (len(found) == len(labelled) and not lists_train):
        return reading
    if lists_train and len(found) < 0.5 * len(labelled):
        return _unused(reading, f"{named(sorted(listed), 6)} name {len(found):,} of {len(labelled):,} images")
    kept: dict[tuple[Split, str | None], Placement] = {}
    placed: dict[str, Placement] = {}
    skipped = dict(reading.skipped)
    for path, placement in reading.placements.items():
        if placement.label is None:
            placed[path] = placement
        elif path in by_path or not lists_train:
            key = (by_path.get(path, Split.TRAIN), placement.label)
            placed[path] = kept.setdefault(key, Placement(*key))
        else:
            skipped[path] = Reason(f"is not listed in {' or '.join(sorted(listed)[:3])}")
    return replace(
        reading, placements=placed, skipped=skipped, splits=named(sorted(listed)), used=reading.used | listed.keys()
    )


def with_splits_of(reading: Reading, others: Sequence[Reading]) -> Reading:
    """Where another reading gives the same classes, and splits too, these are its splits."""
    if reading.splits is not None:
        return reading
    labelled = {path for path, p in reading.placements.items() if p.label is not None}
    for other in others:
        held = _held_out(other)
        if not labelled & held.keys() or labelled <= held.keys() or not agree(reading, other):
            continue
        kept: dict[tuple[Split, str | None], Placement] = {}
        placed = dict(reading.placements)
        for path in labelled:
            key = (held.get(path, Split.TRAIN), reading.placements[path].label)
            placed[path] = kept.setdefault(key, Placement(*key))
        source = other.splits or named(sorted(other.used))
        return replace(reading, placements=placed, splits=source, used=reading.used | other.used)
    return reading


def _held_out(reading: Reading) -> dict[str, Split]:
    """The images of val and test; all of a table that is called like one of them."""
    called = {list_split(file) for file in reading.used}
    alone = called.pop() if len(called) == 1 else None
    if reading.splits is None and alone not in _HELD_OUT:
        return {}
    splits = {path: p.split if reading.splits else alone for path, p in reading.placements.items() if p.label}
    return {path: split for path, split in splits.items() if split in _HELD_OUT and split is not None}


def against_folders(reading: Reading) -> Iterator[str]:
    """Images that a table puts into another split than the folder that they lie in."""
    if reading.splits is None or reading.id.startswith("folders"):
        return
    paths = [path for path, p in reading.placements.items() if p.label is not None]
    called = splits_of({part for path in paths for part in path.split("/")[:-1]})
    told: dict[str, int] = {}
    for path in paths:
        folder = next((part for part in path.split("/")[:-1] if part in called), None)
        if folder is not None and called[folder] is not reading.placements[path].split:
            told[folder] = told.get(folder, 0) + 1
    if told:
        each = ", ".join(f"{count:,} in {quoted(folder)}" for folder, count in sorted(told.items())[:5])
        yield f"The table puts images into another split than the folder that they lie in: {each}. The table counts."


def _unused(reading: Reading, why: str) -> Reading:
    told = f"{why}, so the splits were not taken from them. Leave in the archive the lists that are meant."
    return replace(reading, warnings=[*reading.warnings, told])
