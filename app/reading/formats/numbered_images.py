"""CUB-200-2011 and sets made after it: `images.txt` gives each image a number, and `train_test_split.txt` says of each
number whether it is for training. The classes stand in the folders."""

from collections.abc import Iterator, Mapping

from app.reading.context import Context
from app.reading.listing import folder_of, name_of
from app.reading.reading import Reading, Refusal

_IMAGES, _SPLIT = "images.txt", "train_test_split.txt"
_NAMES = {"1": "train", "0": "test"}
"""What it says of an image."""


def read(context: Context) -> Iterator[Reading | Refusal]:
    """Gives no reading: it tells the splits of others."""
    for file in context.shallow:
        folder = folder_of(file)
        if name_of(file) != _SPLIT or folder + _IMAGES not in context.listing.texts:
            continue
        images, told = _pairs(context, folder + _IMAGES), _pairs(context, file)
        if not told or not set(told.values()) <= _NAMES.keys() or not told.keys() <= images.keys():
            continue
        for value, name in _NAMES.items():
            cells = (images[number] for number, said in told.items() if said == value)
            found = (context.index.find(cell, folder).path for cell in cells)
            context.listed_splits[f"{file}/{name}"] = frozenset(path for path in found if path is not None)
        context.ignore(file, "it tells the splits and no classes")
        context.ignore(folder + _IMAGES, "it numbers the images and tells no classes")
    yield from ()


def _pairs(context: Context, file: str) -> Mapping[str, str]:
    """A number and what stands behind it, a line; empty where a line is otherwise."""
    pairs = {}
    for line in (context.text(file) or "").splitlines():
        number, _, rest = line.strip().partition(" ")
        if not number.isdecimal() or not rest:
            return {}
        pairs[number] = rest.strip()
    return pairs
