"""WebDataset: beside each image a file of the same name with its class, `000001.jpg` and `000001.cls`."""

import json
from collections.abc import Iterator
from dataclasses import replace

from app.domain.dataset import Split
from app.reading.context import Context
from app.reading.labelled import Item, labelled_reading
from app.reading.listing import folder_of, stem_of, suffix_of
from app.reading.reading import Reading, Refusal
from app.reading.words import splits_of

_KEYS = ("label", "cls", "class", "class_name", "category", "target")


def read(context: Context) -> Iterator[Reading | Refusal]:
    images = {folder_of(path) + stem_of(path): path for path in context.listing.images}
    for suffix in (".cls", ".json", ".txt"):
        beside = [f for f in context.listing.texts if suffix_of(f) == suffix and folder_of(f) + stem_of(f) in images]
        if len(beside) < max(2, 0.5 * len(images)):
            continue
        splits = _shards(beside)
        items = []
        for file in beside:
            label = _label(context.listing.texts[file], suffix)
            if label is None:
                break
            path = images[folder_of(file) + stem_of(file)]
            items.append(
                Item(path, (label,) if label else (), folder_of(file) + f"*{suffix}", splits.get(folder_of(file)))
            )
        else:
            reading = labelled_reading(context, "webdataset", "WebDataset", items)
            if isinstance(reading, Reading):
                reading = replace(reading, used=frozenset(beside))
            if reading is not None:
                yield reading
            return


def _label(data: bytes, suffix: str) -> str | None:
    """Empty where there is none; None where the file tells something else."""
    if len(data) > 2**16:
        return None
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return None
    if suffix == ".json":
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            return None
        found = next((values[key] for key in _KEYS if key in values), None) if isinstance(values, dict) else values
        return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else None
    if suffix == ".txt" and (len(text) > 60 or "\n" in text or len(text.split()) > 4 or not text):
        return None  # a caption, or boxes
    return text if "\n" not in text else None


def _shards(files: list[str]) -> dict[str, Split]:
    """Shards are called `train-000000.tar`, and each became a folder."""
    folders = {folder_of(file) for file in files}
    called = splits_of({folder.rstrip("/").rpartition("/")[2] for folder in folders})
    found = {folder: called.get(folder.rstrip("/").rpartition("/")[2]) for folder in folders}
    known = {folder: split for folder, split in found.items() if split is not None}
    return known if len(known) == len(folders) and Split.TRAIN in known.values() else {}
