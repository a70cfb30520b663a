"""What an image folder means: which class and split each file belongs to.

Understood are class folders; `train/ val/ test/` above them; `unlabeled/` anywhere; or files of labels instead of all
that (`labels.py`). Splits that are missing are drawn (`stratify.py`). Every class that comes out has at least one
training image.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from app.domain.dataset import INDEX_NAME, DatasetIndex, Reason, Sample, Split
from app.domain.errors import DatasetRejected
from app.domain.labels import FOREIGN_NAMES, LABELS_NAME, SPLIT_NAMES
from app.domain.placement import Placement, from_folders, from_labels
from app.domain.stratify import MIN_TRAIN, draw

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
)
"""What `index_folder` takes for an image; it has no decoder to ask."""
JUNK_NAMES = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
"""Left behind by file managers; dot-files are ignored too."""
HOW_TO_LAY_OUT = (
    "Put the images into one folder per class, optionally under train/, val/ and test/, or add a labels.csv with the "
    "columns path,label."
)


@dataclass(frozen=True)
class Layout:
    """Where every image belongs, and what a person should know about it."""

    classes: tuple[str, ...]
    """In natural order: "2" before "10"."""
    placements: Mapping[str, Placement]
    """By path."""
    split_source: str
    """As in `DatasetIndex`."""
    skipped: Mapping[str, Reason]
    """Path to the reason, for images that belong nowhere."""
    warnings: tuple[str, ...]


def assign(
    paths: Iterable[str],
    labels: Mapping[str, str] | None = None,
    seed: int = 0,
    *,
    keys: Mapping[str, str] | None = None,
    unreadable: Collection[str] = (),
    max_classes: int | None = None,
    max_lines: int | None = None,
) -> Layout:
    """Find each image's class and split.

    Args:
        paths: relative paths of the usable images, with forward slashes, in any order.
        labels: path to text of the files of labels; then folders are no classes, but `unlabeled/` still means it.
        seed: for the splits that must be made.
        keys: path to what identifies the picture, best its content hash, which makes the drawn split independent of
            file names. Default: the path itself.
        unreadable: files that exist but cannot be used; files of labels may name them.
        max_classes: more are refused; None: no limit.
        max_lines: of a file of labels, a heading not counted; None: no limit.

    Raises:
        DatasetRejected: no class folders, only one class or too many, no training images, or labels that do not fit.
    """
    known = sorted(path for path in paths if not is_junk(path))
    placed, skipped = from_labels(known, labels, unreadable, max_lines) if labels else from_folders(known)
    given = {placement.split for placement in placed.values()} - {Split.UNLABELLED}
    placed, untaught = _without_untaught(placed, given)
    classes = tuple(sorted({p.label for p in placed.values() if p.label is not None}, key=natural))
    if len(classes) < 2:
        found = f"only one class, {classes[0]!r}" if classes else "no class"
        raise DatasetRejected(f"The data set has {found}; a classifier needs at least two.", hint=HOW_TO_LAY_OUT)

    if max_classes is not None and len(classes) > max_classes:
        raise DatasetRejected(
            f"The data set has {len(classes):,} classes; this service takes {max_classes:,} at most.",
            hint="A class is a folder of images, or a label in a file of labels: see that the layout means what you "
            "mean. The operator of the service can raise TDMR_MAX_CLASSES.",
        )
    missing = [split for split in (Split.VAL, Split.TEST) if split not in given]
    train = {path: p.label for path, p in placed.items() if p.split is Split.TRAIN and p.label is not None}
    drawn = draw(train, missing, seed, {path: path if keys is None else keys[path] for path in placed})
    placed = {path: Placement(drawn.get(path, p.split), p.label) for path, p in placed.items()}
    warnings = [*_untaught_warning(untaught), *_empty_split_warnings(placed)]
    return Layout(classes, placed, _split_source(given, drawn, seed), {**skipped, **untaught}, tuple(warnings))


def build_index(
    layout: Layout,
    ids: Mapping[str, str],
    names: Mapping[str, str] | None = None,
    rewritten: Mapping[str, str] | None = None,
) -> DatasetIndex:
    """The index of a layout. Samples are sorted by content, so that file names cannot change a training run.

    Args:
        layout: from `assign`.
        ids: path to the SHA-256 of the file's bytes.
        names: path to the path in the prepared data set, where it differs.
        rewritten: path to the SHA-256 of the file in the prepared data set, where that differs.
    """
    number = {name: i for i, name in enumerate(layout.classes)}
    samples = [
        Sample(
            id=ids[path],
            path=path if names is None else names[path],
            split=p.split,
            label=None if p.label is None else number[p.label],
            source=None if names is None else path,
            rewritten=None if rewritten is None else rewritten.get(path),
        )
        for path, p in layout.placements.items()
    ]
    samples.sort(key=lambda s: (s.id, s.split, -1 if s.label is None else s.label, s.path))
    content = hashlib.sha256("\n".join(map(repr, layout.classes)).encode())
    for s in samples:
        content.update(f"\n{s.id} {s.split} {s.label}".encode())
    return DatasetIndex(
        classes=layout.classes,
        samples=tuple(samples),
        split_source=layout.split_source,
        digest=content.hexdigest(),
    )


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
    images = {path: file for path, file in files.items() if file.suffix.lower() in IMAGE_SUFFIXES and not is_junk(path)}
    labels = {path: decode_labels(path, files[path].read_bytes()) for path in find_labels(files)}
    ids = {path: _sha256(file) for path, file in images.items()}
    return build_index(assign(images, labels, seed, keys=ids), ids)


def is_junk(path: str) -> bool:
    """Whether a file was left behind by a file manager, or is hidden."""
    return any(part.startswith(".") or part.lower() in JUNK_NAMES for part in path.split("/"))


def find_labels(paths: Iterable[str]) -> list[str]:
    """The files that label the data set: the labels.csv nearest to the top, or else another tool's; each split folder
    may have one of those. Empty where there is none.

    Raises:
        DatasetRejected: there are several, and which one counts cannot be told.
    """
    known = [path for path in paths if path.rpartition("/")[2] in (LABELS_NAME, *FOREIGN_NAMES) and not is_junk(path)]
    own = [path for path in known if path.rpartition("/")[2] == LABELS_NAME]
    found = sorted((path.count("/"), path) for path in own or known)
    nearest = [path for depth, path in found if depth == found[0][0]]
    folders = {path.rpartition("/")[0] for path in nearest}
    of_splits = not own and all(folder.rpartition("/")[2].lower() in SPLIT_NAMES for folder in folders)
    if len(nearest) > 1 and not (of_splits and len(folders) == len(nearest)):
        name = nearest[0].rpartition("/")[2]
        raise DatasetRejected(
            f"There are several {name}: {nearest[0]!r} and {nearest[1]!r}."
            if name == nearest[1].rpartition("/")[2]
            else f"There are several files of labels: {nearest[0]!r} and {nearest[1]!r}.",
            hint=f"Put a single {LABELS_NAME} at the top, with the columns path,label,split.",
        )
    return nearest


def decode_labels(file: str, data: bytes) -> str:
    """The text of a file of labels.

    Raises:
        DatasetRejected: it is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetRejected(f"{file} is not UTF-8 text.", hint="Save it as “CSV UTF-8”.") from None


def natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key under which "2" comes before "10"."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(part), "") if part[0] in "0123456789" else (1, 0, part.casefold()) for part in parts], name


def _without_untaught(
    placed: dict[str, Placement], given: set[Split]
) -> tuple[dict[str, Placement], dict[str, Reason]]:
    """Leave out the classes that have no training image: nothing could learn them."""
    if given and Split.TRAIN not in given:
        raise DatasetRejected("There are no training images, only val or test.", hint="Add a train/ folder.")
    taught = {p.label for p in placed.values() if p.split is Split.TRAIN} | {None}
    kept = {path: p for path, p in placed.items() if p.label in taught}
    return kept, {
        path: Reason("its class has no training image", f"its class {p.label!r} has no training image")
        for path, p in placed.items()
        if path not in kept
    }


def _untaught_warning(untaught: Mapping[str, Reason]) -> list[str]:
    if not untaught:
        return []
    return [
        f"Images left out because their class has no training image: {len(untaught)}. "
        "Check that class names are spelled alike in train and test."
    ]


def _split_source(given: set[Split], drawn: Mapping[str, Split], seed: int) -> str:
    if given == {Split.TRAIN}:
        return f"stratified, seed {seed}"
    made = sorted(set(drawn.values()))
    return f"given; {made[0]} stratified, seed {seed}" if made else "given"


def _empty_split_warnings(placed: Mapping[str, Placement]) -> list[str]:
    """A class that a split lacks is not measured there; a person should know before reading an accuracy."""
    classes = {p.label for p in placed.values() if p.label is not None}
    warnings = []
    for split, consequence in (
        (Split.VAL, "the curves show agreement with the teacher instead of accuracy"),
        (Split.TEST, "no accuracy on unseen images can be measured"),
    ):
        lacking = sorted(classes - {p.label for p in placed.values() if p.split is split}, key=natural)
        if len(lacking) == len(classes):
            warnings.append(
                f"There are no {split} images, so {consequence}. Add a {split}/ folder, or more images per class: "
                f"from {MIN_TRAIN} on some are set aside."
            )
        elif lacking:
            some = ", ".join(map(repr, lacking[:5])) + (", …" if len(lacking) > 5 else "")
            warnings.append(
                f"Classes without {split} images: {len(lacking)} ({some}). They are not measured there; add images."
            )
    return warnings


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
