"""COCO: `images`, `annotations` and `categories` in one JSON document, also as Roboflow exports it for each split."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from app.reading.context import Context
from app.reading.labelled import Item, labelled_reading
from app.reading.reading import Reading, Refusal


def read(context: Context) -> Iterator[Reading | Refusal]:
    items: list[Item] = []
    boxes = False
    for file, document in context.documents():
        if not isinstance(document, dict) or not _is_coco(document):
            continue
        found, with_boxes = _items(file, document)
        items += found
        boxes = boxes or with_boxes
    if items:
        reading = labelled_reading(context, "coco", "COCO", items, boxes=boxes)
        if reading is not None:
            yield reading


def _is_coco(document: dict[str, Any]) -> bool:
    images = document.get("images")
    return (
        isinstance(images, list)
        and isinstance(document.get("annotations"), list)
        and isinstance(document.get("categories"), list)
        and all(isinstance(image, dict) and "file_name" in image for image in images[:5])
    )


def _items(file: str, document: dict[str, Any]) -> tuple[list[Item], bool]:
    names = {_key(c.get("id")): str(c.get("name", c.get("id"))) for c in document["categories"] if isinstance(c, dict)}
    labels: dict[Any, dict[str, None]] = defaultdict(dict)
    boxes = False
    for annotation in document["annotations"]:
        if not isinstance(annotation, dict) or annotation.get("category_id") is None:
            continue
        key, category = annotation.get("image_id"), annotation["category_id"]
        if isinstance(key, list | dict) or isinstance(category, list | dict):
            continue
        labels[key][names.get(category, str(category))] = None
        boxes = boxes or bool(annotation.get("bbox") or annotation.get("segmentation"))
    items = [
        Item(str(image["file_name"]), tuple(labels.get(_key(image.get("id")), ())), file)
        for image in document["images"]
        if isinstance(image, dict) and isinstance(image.get("file_name"), str)
    ]
    return items, boxes


def _key(value: object) -> object:
    return None if isinstance(value, list | dict) else value
