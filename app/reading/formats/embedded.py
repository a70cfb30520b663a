"""Images that came with their labels in one file: parquet and arrow tables of Hugging Face's `datasets`."""

from collections.abc import Iterator

from app.domain.dataset import Split
from app.domain.placement import Placement
from app.reading.context import Context
from app.reading.listing import folder_of
from app.reading.reading import Reading, Refusal, Strength, named, quoted
from app.reading.words import is_number, is_unlabelled, splits_of


def read(context: Context) -> Iterator[Reading | Refusal]:
    given = context.listing.given
    if not given:
        return
    placed: dict[str, Placement] = {}
    kept: dict[tuple[Split, str | None], Placement] = {}
    folders = {folder_of(path).rstrip("/") for one in given for path in one.labels}
    called = splits_of({part for folder in folders for part in folder.split("/")})
    splits = {
        folder: next((called[part] for part in reversed(folder.split("/")) if part in called), None)
        for folder in folders
    }
    by_split = len({*splits.values()} - {None}) > 0 and None not in splits.values() and Split.TRAIN in splits.values()
    for one in given:
        for path, label in one.labels.items():
            split = (splits[folder_of(path).rstrip("/")] if by_split else None) or Split.TRAIN
            name = label
            if label is not None and one.names is not None and is_number(label) and 0 <= int(label) < len(one.names):
                name = one.names[int(label)]
            if name is not None and not name.isprintable():
                name = None
            key = (Split.UNLABELLED, None) if name is None or is_unlabelled(name) else (split, name)
            placed[path] = kept.setdefault(key, Placement(*key))
    first = given[0]
    told = [f"{len(placed):,} images lie in {first.format}, each with its label."]
    if first.names is not None:
        told.append(f"It names its classes: {named(first.names, 8)}.")
    yield Reading(
        id="embedded",
        source=f"the column {quoted(first.column)} of {first.format}",
        placements=placed,
        strength=Strength.EXPLICIT,
        splits=named(sorted({part for folder in folders for part in folder.split("/") if part in called}), 3)
        if by_split
        else None,
        evidence=told,
    )
