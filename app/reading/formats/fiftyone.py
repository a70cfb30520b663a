"""FiftyOne: `labels.json` of an image classification data set, and `samples.json` of a whole one."""

from collections.abc import Iterator
from typing import Any

from app.domain.dataset import Split
from app.reading.context import Context
from app.reading.labelled import Item, labelled_reading
from app.reading.reading import Reading, Refusal
from app.reading.words import split_of


def read(context: Context) -> Iterator[Reading | Refusal]:
    items: list[Item] = []
    boxes = False
    for file, document in context.documents():
        if not isinstance(document, dict):
            continue
        if isinstance(document.get("labels"), dict) and "classes" in document:
            items += _labels(file, document)
        elif isinstance(document.get("samples"), list):
            for sample in document["samples"]:
                if isinstance(sample, dict) and isinstance(sample.get("filepath"), str):
                    item, with_boxes = _sample(file, sample)
                    items.append(item)
                    boxes = boxes or with_boxes
    if items:
        reading = labelled_reading(context, "fiftyone", "FiftyOne", items, boxes=boxes)
        if reading is not None:
            yield reading


def _labels(file: str, document: dict[str, Any]) -> Iterator[Item]:
    classes = document["classes"] if isinstance(document["classes"], list) else []
    for cell, value in document["labels"].items():
        values = value if isinstance(value, list) else [value]
        yield Item(cell, tuple(dict.fromkeys(name for one in values if (name := _name(one, classes)))), file)


def _name(value: object, classes: list[Any]) -> str:
    if isinstance(value, dict):
        return _name(value.get("label"), classes)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(classes):
        return str(classes[value])
    return "" if value is None else str(value)


def _sample(file: str, sample: dict[str, Any]) -> tuple[Item, bool]:
    labels: dict[str, None] = {}
    shapes: dict[str, None] = {}
    for field, value in sample.items():
        kind = value.get("_cls") if isinstance(value, dict) else None
        if kind == "Classification" and value.get("label") is not None and field not in ("prediction", "predictions"):
            labels[str(value["label"])] = None
        elif kind == "Classifications" and isinstance(value.get("classifications"), list):
            labels.update(
                {
                    str(one["label"]): None
                    for one in value["classifications"]
                    if isinstance(one, dict) and "label" in one
                }
            )
        elif kind in ("Detections", "Polylines") and isinstance(value.get(kind.lower()), list):
            shapes.update(
                {str(one["label"]): None for one in value[kind.lower()] if isinstance(one, dict) and "label" in one}
            )
    tags = sample.get("tags")
    split = next((s for tag in (tags if isinstance(tags, list) else []) if (s := split_of(str(tag)))), None)
    if split is Split.UNLABELLED:
        split = None
    return Item(sample["filepath"], tuple(labels or shapes), file, split), bool(shapes and not labels)
