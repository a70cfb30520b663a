"""Where the user put each image: by folder names, or by a `labels.csv`."""

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

from app.domain.dataset import Split
from app.domain.errors import DatasetRejected
from app.domain.labels import LABELS_NAME, SPLIT_NAMES, read_labels


@dataclass(frozen=True)
class Placement:
    """Where one image belongs."""

    split: Split
    label: str | None
    """The class's name; None exactly for unlabelled images."""


def from_folders(paths: list[str]) -> tuple[dict[str, Placement], dict[str, str]]:
    """Placements by folder names, and the paths that stand in no class folder with the reason."""
    unlabelled = {path for path in paths if _is_unlabelled(path)}
    placed = dict.fromkeys(unlabelled, Placement(Split.UNLABELLED, None))
    skipped: dict[str, str] = {}
    prefix = _wrapping([path for path in paths if path not in unlabelled])
    labelled = {path: path.removeprefix(prefix).split("/") for path in paths if path not in unlabelled}
    splits = _split_folders(labelled.values())
    for path, parts in labelled.items():
        split = splits.get(parts[0], Split.TRAIN)
        folders = parts[1:-1] if parts[0] in splits else parts[:-1]
        if parts[0] not in splits and Split.TRAIN in splits.values():
            skipped[path] = "stands beside the train folder, not in one of its classes"
        elif not folders:
            skipped[path] = "is in no class folder"
        else:
            placed[path] = Placement(split, folders[0])
    return placed, skipped


def from_labels(
    paths: list[str], text: str, folder: str, unreadable: Collection[str]
) -> tuple[dict[str, Placement], dict[str, str]]:
    """Placements by labels.csv, and the paths that it does not name with the reason."""
    spelled = {unicodedata.normalize("NFC", path): path for path in (*unreadable, *paths)}
    usable = set(paths)
    placed: dict[str, Placement] = {}
    named_on: dict[str, int] = {}
    for row in read_labels(text):
        path = spelled.get(unicodedata.normalize("NFC", f"{folder}/{row.path}" if folder else row.path))
        if path is None:
            raise DatasetRejected(
                f"{LABELS_NAME}, line {row.line} names {row.path[:200]!r}, which is not there.",
                hint=f"Paths in {LABELS_NAME} start at the folder it lies in.",
            )
        if path in named_on:
            raise DatasetRejected(
                f"{LABELS_NAME}, line {row.line} names {row.path[:200]!r} again, after line {named_on[path]}.",
                hint="Name each image once; a classifier knows one class per image.",
            )
        named_on[path] = row.line
        if path in usable:
            split = row.split or Split.TRAIN
            placed[path] = Placement(split, None if split is Split.UNLABELLED else row.label)
    others = usable - named_on.keys()
    unlabelled = set(filter(_is_unlabelled, others))
    placed.update(dict.fromkeys(unlabelled, Placement(Split.UNLABELLED, None)))
    return placed, dict.fromkeys(others - unlabelled, f"is not named in {LABELS_NAME}")


def _wrapping(paths: list[str]) -> str:
    """The folders, with a trailing slash, that hold everything and say nothing: archives often carry one."""
    prefix = ""
    while True:
        inner = [path.removeprefix(prefix).split("/") for path in paths]
        tops = {parts[0] for parts in inner}
        if len(tops) != 1 or not any(len(parts) > 2 for parts in inner) or tops.pop().lower() in SPLIT_NAMES:
            return prefix
        prefix += inner[0][0] + "/"


def _split_folders(paths: Collection[list[str]]) -> dict[str, Split]:
    """Which top folders are splits. A `train` with images directly in it, beside other folders, is a vehicle."""
    named = {parts[0]: SPLIT_NAMES[parts[0].lower()] for parts in paths if parts[0].lower() in SPLIT_NAMES}
    holds_folders = any(len(parts) > 2 for parts in paths if parts[0] in named)
    all_named = all(parts[0] in named for parts in paths if len(parts) > 1)
    return named if holds_folders or all_named else {}


def _is_unlabelled(path: str) -> bool:
    return any(SPLIT_NAMES.get(folder.lower()) is Split.UNLABELLED for folder in path.split("/")[:-1])
