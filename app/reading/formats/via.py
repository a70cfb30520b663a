"""VGG Image Annotator, as JSON or CSV: the class is an attribute of the file, or of all regions in it."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from app.reading.context import Context
from app.reading.labelled import Item, labelled_reading
from app.reading.listing import suffix_of
from app.reading.reading import Reading, Refusal, named

_HEADING = ("filename", "file_attributes", "region_attributes")


def read(context: Context) -> Iterator[Reading | Refusal]:
    """With one attribute, else a refusal: which of several is the class nobody can tell."""
    found = [*_from_json(context), *_from_csv(context)]
    of_files = {name for _, _, attributes, _ in found for name in attributes}
    of_regions = {name for *_, regions in found for region in regions for name in region}
    attributes, boxes = (of_files, False) if of_files else (of_regions, True)
    files = frozenset(file for file, *_ in found)
    if len(attributes) > 1:
        yield Refusal(
            "VGG Image Annotator",
            f"{named(sorted(files), 3)} (VGG Image Annotator) gives the images several attributes: "
            f"{named(sorted(attributes), 8)}. Which one is the class cannot be told.",
            "Keep one of them in the export, or write a labels.csv with the columns path,label.",
            files=files,
        )
    elif attributes:
        (name,) = attributes
        labels: dict[tuple[str, str], dict[str, None]] = {}
        for file, image, of_file, regions in found:
            told = [of_file] if not boxes else regions
            values = [value for one in told if name in one for value in _values(one[name])]
            labels.setdefault((file, image), {}).update(dict.fromkeys(values))
        items = [Item(image, tuple(values), file) for (file, image), values in labels.items()]
        reading = labelled_reading(context, "via", "VGG Image Annotator", items, boxes=boxes)
        if reading is not None:
            yield reading


_Told = tuple[str, str, dict[str, Any], list[dict[str, Any]]]
"""File of the export, image, its attributes, those of its regions."""


def _from_json(context: Context) -> Iterator[_Told]:
    for file, document in context.documents():
        content = document.get("_via_img_metadata", document) if isinstance(document, dict) else None
        images = list(content.values()) if isinstance(content, dict) else []
        if images and all(isinstance(one, dict) and "filename" in one and "file_attributes" in one for one in images):
            for one in images:
                regions = one.get("regions")
                some = (
                    regions if isinstance(regions, list) else [*regions.values()] if isinstance(regions, dict) else []
                )
                inner = [_filled(region.get("region_attributes")) for region in some if isinstance(region, dict)]
                yield file, str(one["filename"]), _filled(one["file_attributes"]), inner


def _from_csv(context: Context) -> Iterator[_Told]:
    """A line for each region; an image without one has a line too."""
    for file in context.shallow:
        if suffix_of(file) != ".csv" or b"file_attributes" not in context.listing.texts[file][:1_000]:
            continue
        rows = csv.DictReader(io.StringIO(context.text(file) or ""))
        if set(_HEADING) <= set(rows.fieldnames or ()):
            for row in rows:
                if row["filename"]:
                    regions = [_filled(_parsed(row["region_attributes"]))]
                    yield file, row["filename"], _filled(_parsed(row["file_attributes"])), regions


def _parsed(cell: str | None) -> object:
    try:
        return json.loads(cell or "{}")
    except (ValueError, RecursionError):
        return None


def _filled(attributes: object) -> dict[str, Any]:
    return {k: v for k, v in attributes.items() if _values(v)} if isinstance(attributes, dict) else {}


def _values(value: object) -> list[str]:
    """Of a text or a choice; of boxes to tick, those that are ticked."""
    if isinstance(value, dict):
        return [str(option) for option, ticked in value.items() if ticked is True]
    return [str(value).strip()] if isinstance(value, str | int) and str(value).strip() else []
