"""Datumaro's JSON, which CVAT and Intel Geti export: `items` with annotations of the type `label`."""

from collections.abc import Iterator
from typing import Any

from app.reading.context import Context
from app.reading.labelled import Item, labelled_reading
from app.reading.reading import Reading, Refusal


def read(context: Context) -> Iterator[Reading | Refusal]:
    items: list[Item] = []
    boxes = False
    for file, document in context.documents():
        if not isinstance(document, dict) or not isinstance(document.get("items"), list):
            continue
        names = _names(document)
        if names is None:
            continue
        for item in document["items"]:
            if isinstance(item, dict):
                found, with_boxes = _item(file, item, names)
                items.append(found)
                boxes = boxes or with_boxes
    if items:
        reading = labelled_reading(context, "datumaro", "Datumaro JSON", items, boxes=boxes)
        if reading is not None:
            yield reading


def _names(document: dict[str, Any]) -> list[str] | None:
    try:
        return [str(label["name"]) for label in document["categories"]["label"]["labels"]]
    except (KeyError, TypeError):
        return None


def _item(file: str, item: dict[str, Any], names: list[str]) -> tuple[Item, bool]:
    image = item.get("image") or item.get("media") or {}
    path = image.get("path") if isinstance(image, dict) else None
    labels: dict[str, None] = {}
    shapes: dict[str, None] = {}
    annotations = item.get("annotations")
    for annotation in annotations if isinstance(annotations, list) else []:
        number = annotation.get("label_id") if isinstance(annotation, dict) else None
        if isinstance(number, int) and 0 <= number < len(names):
            (labels if annotation.get("type") == "label" else shapes)[names[number]] = None
    cell = str(path or item.get("id") or "")
    return Item(cell, tuple(labels or shapes), file), bool(shapes) and not labels
