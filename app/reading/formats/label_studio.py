"""Label Studio: JSON with tasks and their annotations. Its CSV and JSON-MIN are tables (`tables`, `json_tables`)."""

from collections.abc import Iterator
from typing import Any

from app.reading.context import Context
from app.reading.labelled import Item, labelled_reading
from app.reading.reading import Reading, Refusal


def read(context: Context) -> Iterator[Reading | Refusal]:
    items: list[Item] = []
    boxes = False
    for file, document in context.documents():
        if not isinstance(document, list) or not document or not all(map(_is_task, document[:5])):
            continue
        for task in document:
            if _is_task(task):
                found, with_boxes = _item(file, task)
                if found is not None:
                    items.append(found)
                    boxes = boxes or with_boxes
    if items:
        reading = labelled_reading(context, "label-studio", "Label Studio JSON", items, boxes=boxes)
        if reading is not None:
            yield reading


def _is_task(task: object) -> bool:
    return (
        isinstance(task, dict)
        and isinstance(task.get("data"), dict)
        and isinstance(task.get("annotations", task.get("completions")), list)
    )


def _item(file: str, task: dict[str, Any]) -> tuple[Item | None, bool]:
    labels: dict[str, None] = {}
    shapes: dict[str, None] = {}
    source: str | None = None
    annotations: list[Any] = task.get("annotations", task.get("completions")) or []
    for annotation in annotations:
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            continue
        result = annotation.get("result")
        for part in result if isinstance(result, list) else []:
            value = part.get("value") if isinstance(part, dict) else None
            if not isinstance(value, dict):
                continue
            if isinstance(value.get("choices"), list):
                labels.update(dict.fromkeys(map(str, value["choices"])))
                source = source or str(part.get("to_name", ""))
            for kind, names in value.items():
                if kind.endswith("labels") and isinstance(names, list):
                    shapes.update(dict.fromkeys(map(str, names)))
    image = _image(task["data"], source)
    return (Item(image, tuple(labels or shapes), file) if image else None), bool(shapes and not labels)


def _image(data: dict[str, Any], named: str | None) -> str | None:
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    for key in (named, "image", "img", "image_url", "url"):
        if key in texts:
            return texts[key]
    return next((value for value in texts.values() if "/" in value or "." in value), None)
