"""WebDataset: beside each image a file of the same name with its class, `000001.jpg` and `000001.cls`."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from app.domain.dataset import Reason, Split
from app.reading.context import Context
from app.reading.labelled import Item, labelled_reading
from app.reading.listing import folder_of, name_of, stem_of
from app.reading.reading import Reading, Refusal, agree
from app.reading.tables.class_columns import nearly_all_differ
from app.reading.words import MASKS, ROLES, are_parts, folded, splits_of

_ANOTHER = Reason("is another picture of the same sample")
_SHARD = re.compile(r"(.*?)[0-9]{4,}")
"""As writers of shards number them: `00012`, `pets-000012`."""
_KEYS = ("label", "cls", "class", "class_name", "category", "target")


def read(context: Context) -> Iterator[Reading | Refusal]:
    for key_of in (_by_stem, _by_sample):
        images = {key: min(paths, key=_is_mask) for key, paths in _grouped(context.listing.images, key_of).items()}
        for kind in ("cls", "json", "txt"):
            beside = [f for f in context.listing.texts if _kind(f) == kind and key_of(f) in images]
            if len(beside) < max(2, 0.5 * len(images)) or len({key_of(f) for f in beside}) < len(beside):
                continue
            items = list(_items(context, beside, kind, lambda file: images[key_of(file)]))  # noqa: B023
            if len(items) < len(beside) or (kind != "cls" and nearly_all_differ([n for i in items for n in i.labels])):
                continue
            reading = labelled_reading(context, "webdataset", "WebDataset", items)
            if isinstance(reading, Reading):
                others = {path: _ANOTHER for path in context.listing.images if path not in reading.placements}
                reading = replace(reading, used=frozenset(beside), skipped={**others, **reading.skipped})
                reading = _beside_classes(reading, context)
            if reading is not None:
                yield reading
            return


def _beside_classes(reading: Reading, context: Context) -> Reading:
    """No stronger than class folders that say something else: beside pictures of fruit may stand who took them. The
    folders of shards and of splits are no classes."""
    for folders in context.folders:
        names = folders.classes
        if folders.taught < 2 or are_parts(names) or all(folded(name) in ROLES | MASKS for name in names):
            continue
        shards = [_SHARD.fullmatch(name) for name in names]
        if len({shard[1] if shard else name for shard, name in zip(shards, names, strict=True)}) == 1:
            continue
        return reading if agree(reading, folders) else replace(reading, strength=folders.strength)
    return reading


def _by_stem(file: str) -> str:
    return folder_of(file) + stem_of(file)


def _by_sample(file: str) -> str:
    """As WebDataset has it, a sample's name ends at its first dot: `0001.image.jpg`, `0001.seg.png`, `0001.cls.txt`."""
    return folder_of(file) + name_of(file).partition(".")[0]


def _is_mask(file: str) -> bool:
    return bool({"seg", *MASKS} & set(name_of(file).lower().split(".")[1:]))


def _grouped(files: Iterable[str], key_of: Callable[[str], str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file in files:
        found.setdefault(key_of(file), []).append(file)
    return found


def _kind(file: str) -> str:
    """`cls`, `json` or `txt`, by what stands behind the sample's name."""
    parts = name_of(file).lower().split(".")[1:]
    return "cls" if {"cls", "class", "label"} & set(parts[-2:]) else parts[-1] if parts else ""


def _items(context: Context, files: list[str], kind: str, image_of: Callable[[str], str]) -> Iterator[Item]:
    """As far as each file tells a label."""
    splits = _shards(files)
    for file in files:
        label = _label(context.listing.texts[file], f".{kind}")
        if label is None:
            return
        yield Item(
            image_of(file), (label,) if label else (), folder_of(file) + f"*.{kind}", splits.get(folder_of(file))
        )


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
