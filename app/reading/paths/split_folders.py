"""Folders that are called like splits, and the split that a table's name or place tells.

The pictures of Kaggle's `train/` and `test/` are numbered from 1 each: `1` is a file of the table's own split.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from app.domain.dataset import Split
from app.reading.listing import folder_of, stem_of
from app.reading.words import beside_split, folded, split_of, splits_of

_TOLD = frozenset(
    (
        *("label", "labels", "labeled", "labelled", "annotation", "annotations", "anno", "ann", "class", "classes"),
        *("target", "targets", "list", "lst", "index", "info", "meta", "metadata", "table", "csv", "gt"),
        *("groundtruth", "truth", "solution", "answers"),
    )
)
"""Words that say of a file that it holds labels; beside a split's they change nothing: `trainLabels`, `val_list`."""


class SplitFolder(NamedTuple):
    """One that images lie in."""

    name: str
    split: Split


def split_folders(folders: Iterable[str], root: str) -> dict[str, SplitFolder]:
    """By folder, with a trailing slash: the outermost of its folders that is called like a split. `root`, which holds
    all images, tells none apart."""
    parts = {folder: folder.removeprefix(root).split("/")[:-1] for folder in folders}
    called = splits_of({part for every in parts.values() for part in every})
    names = {folder: next((part for part in every if part in called), None) for folder, every in parts.items()}
    return {folder: SplitFolder(name, called[name]) for folder, name in names.items() if name is not None}


def table_splits(files: Iterable[str], root: str) -> Mapping[str, Split]:
    """The files whose images are all of one split: by name, alone or beside the others' names, else by folder."""
    listed = list(files)
    stems = {file: without_told(stem_of(file)) for file in listed}
    called = splits_of(stems.values())
    found: dict[str, Split] = {}
    for file, stem in stems.items():
        split = called.get(stem) or _of_folder(folder_of(file), root)
        if split is not None:
            found[file] = split
    return found


def _of_folder(folder: str, root: str) -> Split | None:
    """By the nearest folder that is called like a split and does not hold all images."""
    while folder and not root.startswith(folder):
        above, _, name = folder.rstrip("/").rpartition("/")
        split = split_of(without_told(name))
        if split is not None:
            return split
        folder = above and f"{above}/"
    return None


def without_told(name: str) -> str:
    """The words of a name that may tell a split."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return " ".join(word for word in re.split(r"[\W_]+", apart) if folded(word) not in _TOLD)


def list_split(file: str) -> Split | None:
    """The split whose images a file lists: `train.txt`, `testing_list.txt`, `trainlist01.txt`; `trainval.txt` is train
    but for what a list of val has too."""
    name = without_told(re.sub(r"(?<=[a-z])[0-9]+$|list", " ", folded(stem_of(file))))
    return Split.TRAIN if is_trainval(file) else split_of(name)


def beside_list_split(file: str) -> tuple[str, ...]:
    """The words of a file's name beside its split's: `images_variant_trainval.txt` is of the variant."""
    name = without_told(re.sub(r"train[\W_]?val(id)?", "train", folded(stem_of(file))))
    return beside_split(name)


def is_trainval(file: str) -> bool:
    words = re.sub(r"[\W_]+", "", folded(without_told(stem_of(file))))
    return words in ("trainval", "trainvalid", "traindev", "trainvalidation")
