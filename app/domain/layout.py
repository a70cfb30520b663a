"""A data set's images in classes and splits: missing splits are drawn (`stratify.py`), and every class has at least one
training image.

How the classes and splits of an archive are found is told in `app/reading`.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.dataset import DatasetIndex, Reason, Sample, Split
from app.domain.errors import DatasetRejected
from app.domain.placement import Placement
from app.domain.stratify import MIN_TRAIN, draw

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


def arrange(
    placed: Mapping[str, Placement],
    skipped: Mapping[str, Reason],
    seed: int = 0,
    *,
    keys: Mapping[str, str] | None = None,
    max_classes: int | None = None,
    hint: str = HOW_TO_LAY_OUT,
) -> Layout:
    """Draw the splits that are missing, and leave out what cannot be learned.

    Args:
        placed: where each usable image belongs, by path.
        skipped: path to the reason, for those that belong nowhere.
        seed: for the splits that must be made.
        keys: path to what identifies the picture, best its content hash, which makes the drawn split independent of
            file names. Default: the path itself.
        max_classes: more are refused; None: no limit.
        hint: what to do where there are not two classes.

    Raises:
        DatasetRejected: only one class or too many, or no training images.
    """
    placed = dict(sorted(placed.items()))
    given = {placement.split for placement in placed.values()} - {Split.UNLABELLED}
    placed, untaught = _without_untaught(placed, given)
    classes = tuple(sorted({p.label for p in placed.values() if p.label is not None}, key=natural))
    if len(classes) < 2:
        found = f"only one class, {classes[0]!r}" if classes else "no class"
        raise DatasetRejected(f"The data set has {found}; a classifier needs at least two.", hint=hint)

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
