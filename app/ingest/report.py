"""What a person should know about a data set before training on it, in plain words, each with what to do."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from app.domain.dataset import DatasetIndex, DatasetReport, ImageCopy, SkippedFile, Split
from app.domain.layout import Layout, natural
from app.ingest.names import shown

MAX_LISTED = 1000
"""Skipped files and groups of copies that a report lists; it counts them all."""
FEW_IMAGES = 5
"""Training images of a class below which its accuracy depends on luck."""
IMBALANCE = 10
"""Largest over smallest class from which on the overall accuracy misleads."""


def make_report(
    layout: Layout, index: DatasetIndex, ids: Mapping[str, str], skipped: Mapping[str, str]
) -> DatasetReport:
    """The report of an import.

    Args:
        layout: where each image belongs.
        index: what was made of it.
        ids: path to the SHA-256 of the file's bytes.
        skipped: path to the reason, for all files left out.
    """
    groups = _copies(layout, ids)
    return DatasetReport(
        classes=layout.classes,
        counts=_counts(layout),
        images=len(index.samples),
        skipped=tuple(SkippedFile(path=path, reason=skipped[path]) for path in sorted(skipped)[:MAX_LISTED]),
        skipped_total=len(skipped),
        duplicates=tuple(groups[:MAX_LISTED]),
        duplicates_total=len(groups),
        warnings=(*_skipped_warning(skipped), *layout.warnings, *_copy_warnings(groups), *_balance_warnings(layout)),
        split_source=layout.split_source,
        digest=index.digest,
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


def _copies(layout: Layout, ids: Mapping[str, str]) -> list[tuple[ImageCopy, ...]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for path in sorted(layout.placements):
        groups[ids[path]].append(path)
    return [
        tuple(ImageCopy(path=p, split=layout.placements[p].split, label=layout.placements[p].label) for p in paths)
        for paths in groups.values()
        if len(paths) > 1
    ]


def _skipped_warning(skipped: Mapping[str, str]) -> list[str]:
    if not skipped:
        return []
    reason, count = Counter(skipped.values()).most_common(1)[0]
    return [f"Files left out: {len(skipped)}, the usual reason ({count} times): {reason}. The report lists them."]


def _copy_warnings(groups: list[tuple[ImageCopy, ...]]) -> list[str]:
    """Each group under the gravest thing that is wrong with it."""
    kinds: dict[str, list[tuple[ImageCopy, ...]]] = defaultdict(list)
    for group in groups:
        splits = {copy.split for copy in group}
        if len({copy.label for copy in group} - {None}) > 1:
            kinds["labels"].append(group)
        elif Split.TEST in splits and len(splits) > 1:
            kinds["test"].append(group)
        elif Split.VAL in splits and len(splits) > 1:
            kinds["val"].append(group)
        else:
            kinds["same"].append(group)
    sentences = {
        "labels": ("under two labels", "At least one label is wrong: keep each under the right one."),
        "test": ("in test and also in another split", "Test accuracy will look too good: keep each in one split."),
        "val": ("in val and also in another split", "Validation will look too good: keep each in one split."),
        "same": ("that are there more than once", "They count as often: remove the copies unless you mean it."),
    }
    return [
        f"Images {what}: {len(kinds[kind])}, for example {_example(kinds[kind][0])}. {advice}"
        for kind, (what, advice) in sentences.items()
        if kinds[kind]
    ]


def _example(group: tuple[ImageCopy, ...]) -> str:
    """Two copies that differ as much as the group does."""
    first = group[0]
    other = max(group[1:], key=lambda copy: (copy.label != first.label) + (copy.split != first.split))
    return f"{shown(first.path)} and {shown(other.path)}"


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
            "small classes, and read the accuracy per class rather than the overall one."
        )
    return warnings
