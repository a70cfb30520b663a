"""What a person should know about a data set before training on it, in plain words, each with what to do."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median_low
from typing import TypeVar

from app.domain.dataset import (
    DatasetIndex,
    DatasetReport,
    ImageSizes,
    Reason,
    SkippedFile,
    Split,
    Spread,
    Understanding,
)
from app.domain.layout import Layout, natural
from app.ingest.copies import Copies, Group, warnings_of
from app.ingest.names import shown
from app.ingest.picture import Picture

Item = TypeVar("Item")

MAX_LISTED = 1000
"""Skipped files and groups of copies that a report lists; it counts them all."""
MAX_LISTED_CHARACTERS = 1_000_000
"""Of one of these lists: an archive may give each file a path of 4,096 bytes."""
FEW_IMAGES = 5
"""Training images of a class below which its accuracy depends on luck."""
SMALL_PIXELS = 32
"""Below this on the short side a photograph shows little."""
IMBALANCE = 10
"""Largest over smallest class from which on the overall accuracy misleads."""


def make_report(
    layout: Layout,
    index: DatasetIndex,
    pictures: Mapping[str, Picture],
    copies: Copies,
    skipped: Mapping[str, Reason],
    *,
    understanding: Understanding | None = None,
    first: Sequence[str] = (),
    more: Sequence[str] = (),
) -> DatasetReport:
    """The report of an import.

    Args:
        layout: where each image belongs.
        index: what was made of it.
        pictures: by path: at least those that the layout places.
        copies: among them.
        skipped: path to the reason, for all files left out.
        understanding: how the archive was read.
        first: warnings that come before all others.
        more: warnings about names and pixels.
    """
    how = () if understanding is None else understanding.warnings
    placed = [pictures[path] for path in layout.placements]
    return DatasetReport(
        classes=layout.classes,
        counts=_counts(layout),
        images=len(index.samples),
        sizes=_sizes(placed),
        skipped=_listed(
            [SkippedFile(path=path, reason=str(skipped[path])) for path in sorted(skipped)[:MAX_LISTED]],
            lambda file: len(file.path) + len(file.reason),
        ),
        skipped_total=len(skipped),
        duplicates=_listed(copies.same, _length),
        duplicates_total=len(copies.same),
        near_duplicates=_listed(copies.near, _length),
        near_duplicates_total=len(copies.near),
        warnings=(
            *first,
            *how,
            *_skipped_warning(skipped),
            *more,
            *layout.warnings,
            *warnings_of(copies),
            *_balance_warnings(layout),
            *_size_warnings(placed),
        ),
        split_source=layout.split_source,
        digest=index.digest,
        layout=understanding,
    )


def _counts(layout: Layout) -> dict[Split, dict[str, int]]:
    """Every class stands in each labelled split, so that a nought is seen."""
    found = Counter((p.split, p.label or "") for p in layout.placements.values())
    counts = {
        split: {name: found[split, name] for name in layout.classes} for split in (Split.TRAIN, Split.VAL, Split.TEST)
    }
    if found[Split.UNLABELLED, ""]:
        counts[Split.UNLABELLED] = {"": found[Split.UNLABELLED, ""]}
    return counts


def _listed(items: Sequence[Item], length: Callable[[Item], int]) -> tuple[Item, ...]:
    """The first of them, as many as a report lists."""
    kept, characters = 0, 0
    for item in items[:MAX_LISTED]:
        characters += length(item)
        if characters > MAX_LISTED_CHARACTERS:
            break
        kept += 1
    return tuple(items[:kept])


def _length(group: Group) -> int:
    return sum(len(copy.path) + len(copy.label or "") for copy in group)


def _sizes(pictures: Sequence[Picture]) -> ImageSizes:
    return ImageSizes(
        width=_spread([picture.width for picture in pictures]),
        height=_spread([picture.height for picture in pictures]),
        formats=dict(Counter(picture.format for picture in pictures).most_common()),
    )


def _spread(values: Sequence[int]) -> Spread:
    return Spread(least=min(values), median=median_low(values), most=max(values))


def _skipped_warning(skipped: Mapping[str, Reason]) -> list[str]:
    if not skipped:
        return []
    kind, count = Counter(reason.kind for reason in skipped.values()).most_common(1)[0]
    return [f"Files left out: {len(skipped)}, the usual reason ({count} times): {kind}. The report lists them."]


def _balance_warnings(layout: Layout) -> list[str]:
    train = Counter(p.label for p in layout.placements.values() if p.split is Split.TRAIN and p.label is not None)
    warnings = []
    few = sorted((name for name, count in train.items() if count < FEW_IMAGES), key=natural)
    if few:
        some = ", ".join(f"{shown(name)}: {train[name]}" for name in few[:5]) + (", …" if len(few) > 5 else "")
        warnings.append(
            f"Classes with fewer than {FEW_IMAGES} training images: {len(few)} ({some}). Add some, or put images "
            "without labels into unlabeled/: with few labels they help most."
        )
    (largest, most), (smallest, least) = train.most_common(1)[0], train.most_common()[-1]
    if most >= IMBALANCE * least:
        warnings.append(
            f"The class {shown(largest)} has {most} training images, {shown(smallest)} only {least}. Add images to the "
            'small classes or train with `"balance": "sampling"`, and read the accuracy per class rather than the '
            "overall one."
        )
    return warnings


def _size_warnings(pictures: Sequence[Picture]) -> list[str]:
    tiny = sum(min(picture.width, picture.height) < SMALL_PIXELS for picture in pictures)
    if not tiny:
        return []
    return [
        f"Images under {SMALL_PIXELS} pixels on their short side: {tiny} of {len(pictures)}. Enlarging them adds "
        "nothing: send larger ones if you have them, or train with an `image_size` of about theirs."
    ]
