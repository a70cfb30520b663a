"""Class folders that hold one part of the images, and a table that labels another: train/ sorted, test/ numbered.

Tiny ImageNet, GTSRB and many of Kaggle's sets come so. Neither reading is wrong; each leaves out what the other tells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.domain.dataset import Split
from app.domain.placement import Placement
from app.reading.context import Context
from app.reading.listing import folder_of
from app.reading.paths.split_folders import split_folders, table_splits
from app.reading.reading import Reading, named

_HELD_OUT = (Split.VAL, Split.TEST)


def united(readings: Sequence[Reading], context: Context) -> list[Reading]:
    """Each reading of folders with what tables add to it, where they add anything."""
    found = []
    for folders in readings:
        if not folders.id.startswith("folders") or folders.taught < 2:
            continue
        whole = folders
        for table in readings:
            if table.used:
                whole = _with(whole, table, context) or whole
        if whole is not folders:
            found.append(whole)
    return found


def _with(folders: Reading, table: Reading, context: Context) -> Reading | None:
    """None where the table labels nothing more, or gives an image or a class that the folders have otherwise.

    What it adds must be of val or test, of which the folders hold nothing: then it was left unsorted on purpose.
    """
    same = _same_classes(folders.classes, table.classes)
    if same is None:
        return None
    labels = {path: same[p.label] for path, p in table.placements.items() if p.label is not None}
    sorted_ones = {path: p for path, p in folders.placements.items() if p.label is not None}
    if any(path in sorted_ones and sorted_ones[path].label != label for path, label in labels.items()):
        return None
    more = {path: label for path, label in labels.items() if path not in sorted_ones}
    splits = _splits_of(more, table, context)
    if len(set(more.values())) < 2 or not all(path in splits for path in more):  # one for all is what stands for none
        return None
    if {p.split for p in sorted_ones.values()} & set(splits.values()):
        return None
    kept: dict[tuple[Split, str], Placement] = {}
    placed = {
        path: kept.setdefault((splits[path], label), Placement(splits[path], label)) for path, label in more.items()
    }
    told = sorted({str(split) for split in splits.values()})
    return replace(
        folders,
        id=f"{folders.id}+{table.id}",
        source=f"{folders.source}; those of {named(told)} from {table.source}",
        placements={**folders.placements, **placed},
        strength=max(folders.strength, table.strength),
        splits=folders.splits or named(sorted(table.used)),
        skipped={path: why for path, why in folders.skipped.items() if path not in more},
        evidence=[
            *folders.evidence,
            f"{named(sorted(table.used))} labels {len(more):,} images that lie in no class folder.",
        ],
        warnings=[*folders.warnings, *table.warnings],
        used=folders.used | table.used,
    )


def _same_classes(of_folders: Sequence[str], of_table: Sequence[str]) -> Mapping[str, str] | None:
    """What the folder is called, by the table's label: the same text, or the same number (`00012` and `12`)."""
    numbered = {int(name): name for name in of_folders if name.isdecimal()}
    if len(numbered) < len(of_folders):
        numbered = {}
    texts = {name.casefold(): name for name in of_folders}
    found = {}
    for label in of_table:
        folder = texts.get(label.casefold()) or (numbered.get(int(label)) if label.isdecimal() else None)
        if folder is None:
            return None
        found[label] = folder
    return found or None


def _splits_of(paths: Mapping[str, str], table: Reading, context: Context) -> dict[str, Split]:
    """Of val and test: as the table says, else by the folder that an image lies in, else by the table's name."""
    root = context.listing.root
    by_folder = split_folders({folder_of(path) for path in paths}, root)
    by_file = set(table_splits(table.used, root).values())
    whole = by_file.pop() if len(by_file) == 1 else None
    found: dict[str, Split] = {}
    for path in paths:
        folder = by_folder.get(folder_of(path))
        split = table.placements[path].split if table.splits else folder.split if folder else whole
        if split in _HELD_OUT:
            found[path] = split
    return found
