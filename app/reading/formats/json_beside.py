"""A JSON file for each image: LabelMe, which knows its image, and Supervisely, whose file is called like it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from app.reading.context import Context
from app.reading.labelled import Item, labelled_reading
from app.reading.listing import folder_of, name_of, suffix_of
from app.reading.reading import Reading, Refusal

_MOST_BYTES = 2**26
"""Of a file: LabelMe may put the picture itself into it."""
_Told = tuple[str, list[str], list[str]]
"""An image, its labels, and those of what is drawn in it."""


def read(context: Context) -> Iterator[Reading | Refusal]:
    for id, format, mark, told_by in (
        ("labelme", "LabelMe", b'"imagePath"', _labelme),
        ("supervisely", "Supervisely", b'"tags"', _supervisely),
    ):
        found: dict[str, _Told] = {}
        for file, data in context.listing.texts.items():
            if suffix_of(file) == ".json" and mark in data and len(data) <= _MOST_BYTES:
                told = told_by(file, _parsed(data))
                if told is not None:
                    found[file] = told
        boxes = not any(labels for _, labels, _ in found.values())
        items = [
            Item(image, tuple(shapes if boxes else labels), f"{folder_of(file)}*.json")
            for file, (image, labels, shapes) in found.items()
        ]
        if any(item.labels for item in items):
            reading = labelled_reading(context, id, format, items, boxes=boxes)
            if isinstance(reading, Reading):
                yield replace(reading, used=frozenset(found))
            elif reading is not None:
                yield replace(reading, files=frozenset(found))


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _labelme(file: str, document: dict[str, Any]) -> _Told | None:
    """The image, its flags that are set, and the labels of its shapes."""
    flags, shapes = document.get("flags"), document.get("shapes")
    if not isinstance(document.get("imagePath"), str) or not isinstance(shapes, list):
        return None
    called = [str(flag) for flag, is_set in flags.items() if is_set is True] if isinstance(flags, dict) else []
    return document["imagePath"], called, _names(shapes, "label")


def _supervisely(file: str, document: dict[str, Any]) -> _Told | None:
    """`ann/1.jpg.json` tells about `img/1.jpg`."""
    tags, objects = document.get("tags"), document.get("objects")
    if not isinstance(tags, list) or not isinstance(objects, list) or "size" not in document:
        return None
    folder = folder_of(file)
    images = f"{folder.removesuffix('ann/')}img/" if folder.endswith("ann/") else folder
    return images + name_of(file).removesuffix(".json"), _names(tags, "name"), _names(objects, "classTitle")


def _names(records: list[Any], key: str) -> list[str]:
    """Different ones."""
    return list(dict.fromkeys(str(one[key]) for one in records if isinstance(one, dict) and one.get(key) is not None))
