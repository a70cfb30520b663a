"""Where the user put each image: by folder names, or by files of labels."""

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from app.domain.dataset import Reason, Split
from app.domain.labels import LABELS_NAME, SPLIT_NAMES, LabelRow, check_splits, read_labels


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one image belongs."""

    split: Split
    label: str | None
    """The class's name; None exactly for unlabelled images."""


def from_folders(paths: list[str]) -> tuple[dict[str, Placement], dict[str, Reason]]:
    """Placements by folder names, and the paths that stand in no class folder with the reason."""
    unlabelled = {path for path in paths if _is_unlabelled(path)}
    placed = dict.fromkeys(unlabelled, Placement(Split.UNLABELLED, None))
    skipped: dict[str, Reason] = {}
    prefix = _wrapping([path for path in paths if path not in unlabelled])
    labelled = {path: path.removeprefix(prefix).split("/") for path in paths if path not in unlabelled}
    splits = _split_folders(labelled.values())
    for path, parts in labelled.items():
        split = splits.get(parts[0], Split.TRAIN)
        folders = parts[1:-1] if parts[0] in splits else parts[:-1]
        if parts[0] not in splits and Split.TRAIN in splits.values():
            skipped[path] = Reason("stands beside the train folder, not in one of its classes")
        elif not folders:
            skipped[path] = Reason("is in no class folder")
        else:
            placed[path] = Placement(split, folders[0])
    return placed, skipped


def from_labels(
    paths: list[str], files: Mapping[str, str], unreadable: Collection[str], max_lines: int | None = None
) -> tuple[dict[str, Placement], dict[str, Reason]]:
    """Placements by files of labels (path to text), and the images that none of them names with the reason. The first
    line that does not fit ends it, so that a long file of labels costs no more than the archive that it describes."""
    spelled = {unicodedata.normalize("NFC", path): path for path in (*unreadable, *paths)}
    usable = set(paths)
    placed: dict[str, Placement] = {}
    named_by: dict[str, int] = {}
    """The line, by path."""
    by_folders = True
    for row in check_splits(_rows(files, max_lines)):
        path = spelled.get(unicodedata.normalize("NFC", _full_path(row)))
        if path is None:
            raise row.rejected(
                f"names {row.path[:200]!r}, which is not there", "Its paths start at the folder that it lies in."
            )
        if path in named_by:
            raise row.rejected(
                f"names {row.path[:200]!r} again, after line {named_by[path]}",
                "Name each image once; a classifier knows one class per image.",
            )
        named_by[path] = row.line
        # in a labels.csv of ours folders mean nothing: whoever writes one can write the column
        by_folders = by_folders and row.split is None and not row.file.endswith(LABELS_NAME)
        if path in usable:
            placed[path] = _placement(row.split or Split.TRAIN, row.label)
    if by_folders:
        placed = _in_split_folders(placed, named_by)
    others = usable - named_by.keys()
    unlabelled = set(filter(_is_unlabelled, others))
    placed.update(dict.fromkeys(unlabelled, Placement(Split.UNLABELLED, None)))
    return placed, dict.fromkeys(others - unlabelled, Reason(f"is not named in {' or '.join(files)}"))


def _rows(files: Mapping[str, str], max_lines: int | None) -> Iterator[LabelRow]:
    for file, text in files.items():
        yield from read_labels(file, text, max_lines)


def _placement(split: Split, label: str | None) -> Placement:
    return Placement(split, None if split is Split.UNLABELLED else label)


def _in_split_folders(placed: dict[str, Placement], named: Iterable[str]) -> dict[str, Placement]:
    """Where all images that are named stand in folders called like splits, the splits are these."""
    splits = {path: _split_of_folders(path) for path in named}
    if None in splits.values():
        return placed
    return {path: _placement(splits[path] or Split.TRAIN, p.label) for path, p in placed.items()}


def _full_path(row: LabelRow) -> str:
    folder, slash, _ = row.file.rpartition("/")
    return folder + slash + row.path


def _split_of_folders(path: str) -> Split | None:
    names = (SPLIT_NAMES.get(folder.lower()) for folder in path.split("/")[:-1])
    return next((split for split in names if split is not None), None)


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
