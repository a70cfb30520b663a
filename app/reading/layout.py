"""From a listing to a layout, as the import and the training package make it; and the index of a plain folder."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from app.domain.dataset import INDEX_NAME, DatasetIndex
from app.domain.errors import DatasetRejected
from app.domain.layout import Layout, arrange, build_index
from app.reading.choose import choose
from app.reading.context import Context
from app.reading.listing import TEXT_SUFFIXES, Listing, has_image_name, is_junk, suffix_of
from app.reading.reading import named
from app.reading.words import folded

MAX_TEXT_BYTES = 128 * 2**20


def assign(
    paths: Iterable[str],
    labels: Mapping[str, str] | None = None,
    seed: int = 0,
    *,
    keys: Mapping[str, str] | None = None,
    unreadable: Collection[str] = (),
    max_classes: int | None = None,
    max_lines: int | None = None,
    layout: str | None = None,
) -> Layout:
    """Find each image's class and split.

    Args:
        paths: relative paths of the usable images, with forward slashes, in any order.
        labels: path to text of the files that may tell labels.
        seed: for the splits that must be made.
        keys: path to what identifies the picture; default: the path itself.
        unreadable: images that exist but cannot be used; tables may name them.
        max_classes: more are refused; None: no limit.
        max_lines: of a table, a heading not counted; None: no limit.
        layout: which reading is meant.

    Raises:
        DatasetRejected: no class, only one or too many, no training images, or several readings that differ.
    """
    usable = {path for path in paths if not is_junk(path)}
    texts = {path: text.encode() for path, text in (labels or {}).items()}
    context = Context(Listing(tuple(sorted({*usable, *unreadable})), texts), max_lines=max_lines)
    choice = choose(context, layout)
    if choice.asks:
        ways = "; ".join(
            f"{r.id} ({len(r.classes)} classes: {named(r.classes)})" for r in (choice.reading, *choice.others)
        )
        raise DatasetRejected(f"It is not clear what the classes are: {ways}.", hint="Say which one is meant.")
    placed = {path: p for path, p in choice.reading.placements.items() if path in usable}
    skipped = {path: reason for path, reason in choice.reading.skipped.items() if path in usable}
    return arrange(placed, skipped, seed, keys=keys, max_classes=max_classes)


def load_index(folder: Path, seed: int = 0) -> DatasetIndex:
    """The index of a data set's folder: its `index.json`, or what `index_folder` makes of it.

    Raises:
        DatasetRejected: the folder is no data set.
    """
    index = folder / INDEX_NAME
    if not index.is_file():
        return index_folder(folder, seed)
    try:
        return DatasetIndex.model_validate_json(index.read_bytes())
    except ValidationError as error:
        raise DatasetRejected(
            f"{INDEX_NAME} is not a data set's index ({error.error_count()} errors).",
            hint=f"Remove {INDEX_NAME} to have the folders read instead.",
        ) from None


def index_folder(folder: Path, seed: int = 0) -> DatasetIndex:
    """The index of a plain image folder, by the rules of an upload; files are told by suffix and not decoded, so near
    duplicates are not noticed.

    Raises:
        DatasetRejected: as `assign`.
    """
    files = {
        file.relative_to(folder).as_posix(): file
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink()
    }
    known = {path: file for path, file in files.items() if not is_junk(path)}
    images = {path: file for path, file in known.items() if has_image_name(path)}
    texts = {
        path: file.read_bytes()
        for path, file in known.items()
        if suffix_of(path) in TEXT_SUFFIXES and file.stat().st_size <= MAX_TEXT_BYTES
    }
    ids = {path: _sha256(file) for path, file in images.items()}
    choice = choose(Context(Listing(tuple(sorted(images)), texts)))
    if choice.asks:
        ways = "; ".join(f"{r.id} ({named(r.classes)})" for r in (choice.reading, *choice.others))
        raise DatasetRejected(
            f"It is not clear what the classes are: {ways}.",
            hint="Put one folder per class at the top, or add a labels.csv.",
        )
    reading = choice.reading
    return build_index(arrange(reading.placements, reading.skipped, seed, keys=ids), ids)


def folded_names(names: Iterable[str]) -> frozenset[str]:
    """As `Context.unlabelled_classes` wants them."""
    return frozenset(folded(name) for name in names)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
