"""Class folders that hold one part of the images, and a table that labels another: train/ sorted, test/ numbered, or
the other way round.

Tiny ImageNet, GTSRB and many of Kaggle's sets come so. Neither reading is wrong; each leaves out what the other tells.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.domain.dataset import Split
from app.domain.placement import Placement
from app.reading.context import Context
from app.reading.listing import folder_of, stem_of
from app.reading.paths.split_folders import split_folders, table_splits
from app.reading.reading import Reading, named
from app.reading.words import folded

_HELD_OUT = (Split.VAL, Split.TEST)
_GUESSED = frozenset({"result", "results", "output", "outputs", "guess", "guesses", "inference", "inferred"})
"""Words of files and columns that may hold what a model made of images: whoever tests by them learns nothing. Beside
these, all that begins with `pred`."""


def united(readings: Sequence[Reading], context: Context) -> list[Reading]:
    """Each reading that has classes to train on, with what the others add to it, where they add anything."""
    found = []
    for first in readings:
        whole = first
        for other in readings if first.taught >= 2 else ():
            if _is_of_folders(first) != _is_of_folders(other) and not _is_guessed(other):
                whole = _with(whole, other, context) or whole
        if whole is not first:
            found.append(whole)
    return found


def _is_of_folders(reading: Reading) -> bool:
    return reading.id.startswith("folders")


def _is_guessed(reading: Reading) -> bool:
    words = re.findall(r"[^\W\d_]+", folded(f"{reading.source} {' '.join(map(stem_of, reading.used))}"))
    return any(word in _GUESSED or word.startswith("pred") for word in words)


def _with(first: Reading, other: Reading, context: Context) -> Reading | None:
    """None where the other one labels nothing more, or gives an image or a class that the first has otherwise.

    What it adds must be of val or test, of which the first holds nothing: then it was left out of it on purpose.
    """
    same = _same_classes(first.classes, other.classes)
    if same is None:
        return None
    labels = {path: same[p.label] for path, p in other.placements.items() if p.label is not None}
    labelled = {path: p for path, p in first.placements.items() if p.label is not None}
    if any(path in labelled and labelled[path].label != label for path, label in labels.items()):
        return None
    more = {path: label for path, label in labels.items() if path not in labelled}
    splits = _splits_of(more, other, context)
    if len(set(more.values())) < 2 or not all(path in splits for path in more):  # one for all is what stands for none
        return None
    if {p.split for p in labelled.values()} & set(splits.values()):
        return None
    kept: dict[tuple[Split, str], Placement] = {}
    placed = {
        path: kept.setdefault((splits[path], label), Placement(splits[path], label)) for path, label in more.items()
    }
    told = sorted({str(split) for split in splits.values()})
    return replace(
        first,
        id=f"{first.id}+{other.id}",
        source=f"{first.source}; those of {named(told)} from {other.source}",
        placements={**first.placements, **placed},
        strength=max(first.strength, other.strength),
        splits=first.splits or other.splits or named(sorted(other.used)),
        skipped={path: why for path, why in first.skipped.items() if path not in more},
        evidence=[*first.evidence, f"{len(more):,} images of {named(told)} have their class from {other.source}."],
        warnings=[*first.warnings, *other.warnings],
        used=first.used | other.used,
    )


def _same_classes(of_first: Sequence[str], of_other: Sequence[str]) -> Mapping[str, str] | None:
    """What the first calls them, by the other's label: the same words, or the same number (`00012` and `12`)."""
    numbered = {int(name): name for name in of_first if name.isdecimal()}
    if len(numbered) < len(of_first):
        numbered = {}
    words = {_words(name): name for name in of_first}
    if len(words) < len(of_first):  # `a b` and `a_b` are two
        words = {name: name for name in of_first}
    found = {}
    for label in of_other:
        name = words.get(_words(label)) or words.get(label) or (numbered.get(int(label)) if label.isdecimal() else None)
        if name is None:
            return None
        found[label] = name
    return found or None


def _words(name: str) -> str:
    """`Apple_Pie` is `apple pie`."""
    return re.sub(r"[\W_]+", " ", name.casefold()).strip() or name


def _splits_of(paths: Mapping[str, str], told_by: Reading, context: Context) -> dict[str, Split]:
    """Of val and test: as it says itself, else by the folder that an image lies in, else by its file's name."""
    root = context.listing.root
    by_folder = split_folders({folder_of(path) for path in paths}, root)
    by_file = set(table_splits(told_by.used, root).values())
    whole = by_file.pop() if len(by_file) == 1 else None
    found: dict[str, Split] = {}
    for path in paths:
        folder = by_folder.get(folder_of(path))
        split = told_by.placements[path].split if told_by.splits else folder.split if folder else whole
        if split in _HELD_OUT:
            found[path] = split
    return found
