"""Masks, trimaps and thumbnails: pictures that stand beside the images, under the same names."""

import re
from collections import defaultdict
from collections.abc import Iterable

from app.reading.listing import folder_of, stem_of
from app.reading.words import MASKS, ROLES, folded, split_of

_ASIDE = MASKS | {"thumbnail", "thumbnails", "thumb", "thumbs"}


def asides(paths: Iterable[str]) -> dict[str, str]:
    """By path, the folder that says so, without case: pictures in such folders whose names other images have too.

    A folder called `mask` is one only beside a folder of images: beside `no_mask` it is a class.
    """
    listed = list(paths)
    apart = _folders({folder_of(path) for path in listed})
    if not apart:
        return {}
    stems = {stem_of(path).casefold() for path in listed if folder_of(path) not in apart}
    return {
        path: apart[folder_of(path)].casefold()
        for path in listed
        if folder_of(path) in apart and stem_of(path).casefold() in stems
    }


def _folders(folders: Iterable[str]) -> dict[str, str]:
    """Each folder of pictures that are no images, with the part of it that is called so."""
    parts = {folder: tuple(folder.split("/")[:-1]) for folder in folders}
    beside: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for every in parts.values():
        for level, part in enumerate(every):
            beside[every[:level]].add(part)
    with_images = {above for above, names in beside.items() if any(map(_holds_images, names))}
    found: dict[str, str] = {}
    for folder, every in parts.items():
        for level, part in enumerate(every):
            if every[:level] in with_images and _is_aside(part):
                found.setdefault(folder, part)
    return found


def _is_aside(name: str) -> bool:
    """`masks`, and also `train_masks`."""
    words = _without_splits(name)
    return folded(name) in _ASIDE or (bool(words) and all(word in _ASIDE for word in words))


def _holds_images(name: str) -> bool:
    """`images`, `train_images` and `train`."""
    return all(word in ROLES for word in _without_splits(name))


def _without_splits(name: str) -> list[str]:
    return [word for word in re.findall(r"[^\W_]+", folded(name)) if split_of(word) is None]
