"""An image a line, nested deeper than a table: SageMaker Ground Truth, Vertex AI, Labelbox."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from app.domain.dataset import Split
from app.reading.context import Context
from app.reading.labelled import Item, labelled_reading
from app.reading.listing import suffix_of
from app.reading.reading import Reading, Refusal
from app.reading.words import split_of

_Told = tuple[str, list[str], Split | None]
"""An image, its labels, its split."""
_SUFFIXES = frozenset({".jsonl", ".ndjson", ".manifest"})


def read(context: Context) -> Iterator[Reading | Refusal]:
    items: dict[str, list[Item]] = {format: [] for _, format, _ in _FORMATS}
    for file in context.shallow:
        if suffix_of(file) in _SUFFIXES:
            found = _items(context, file)
            if found is not None:
                format, of_file = found
                items[format] += of_file
    for id, format, _ in _FORMATS:
        if any(item.labels for item in items[format]):
            reading = labelled_reading(context, id, format, items[format])
            if reading is not None:
                yield reading


def _items(context: Context, file: str) -> tuple[str, list[Item]] | None:
    """The format, which the first line tells, and the images; None where a line is something else."""
    item_of: Callable[[dict[str, Any]], _Told | None] | None = None
    called = ""
    items: list[Item] = []
    for line in (context.text(file) or "").split("\n"):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(record, dict) or len(items) == context.max_lines:
            return None
        if item_of is None:
            known = [(format, reader) for _, format, reader in _FORMATS if reader(record) is not None]
            if not known:
                return None
            called, item_of = known[0]
        told = item_of(record)
        if told is None:
            return None
        cell, labels, split = told
        items.append(Item(cell, tuple(dict.fromkeys(labels)), file, split))
    return called, items


def _ground_truth(record: dict[str, Any]) -> _Told | None:
    """The class stands in the metadata of the labelling job, whatever that is called; beside it only its number."""
    if not isinstance(record.get("source-ref"), str):
        return None
    jobs = [value for key, value in record.items() if key.endswith("-metadata") and isinstance(value, dict)]
    labels = [job["class-name"] for job in jobs if isinstance(job.get("class-name"), str)]
    for job in jobs:
        if isinstance(job.get("class-map"), dict):
            labels += map(str, job["class-map"].values())
    return record["source-ref"], labels, None


def _vertex(record: dict[str, Any]) -> _Told | None:
    if not isinstance(record.get("imageGcsUri"), str):
        return None
    single, several = record.get("classificationAnnotation"), record.get("classificationAnnotations")
    annotations = [single, *(several if isinstance(several, list) else [])]
    labels = [one["displayName"] for one in annotations if isinstance(one, dict) and _is_text(one.get("displayName"))]
    about = record.get("dataItemResourceLabels")
    use = about.get("aiplatform.googleapis.com/ml_use") if isinstance(about, dict) else None
    return record["imageGcsUri"], labels, split_of(use) if isinstance(use, str) else None


def _labelbox(record: dict[str, Any]) -> _Told | None:
    """The answers of all projects; what is drawn into the image is left alone."""
    row, projects = record.get("data_row"), record.get("projects")
    if not isinstance(row, dict) or not isinstance(projects, dict) or not isinstance(row.get("external_id"), str):
        return None
    answers = [
        question.get("radio_answer")
        for project in projects.values()
        for label in _list(project, "labels")
        for question in _list(label.get("annotations"), "classifications")
    ]
    labels = [one["name"] for one in answers if isinstance(one, dict) and _is_text(one.get("name"))]
    return row["external_id"], labels, None


def _list(value: object, key: str) -> list[dict[str, Any]]:
    """The objects in a list of an object, where there is one."""
    inner = value.get(key) if isinstance(value, dict) else None
    return [one for one in inner if isinstance(one, dict)] if isinstance(inner, list) else []


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_FORMATS = (
    ("ground-truth", "SageMaker Ground Truth", _ground_truth),
    ("vertex", "Vertex AI", _vertex),
    ("labelbox", "Labelbox", _labelbox),
)
