"""A prepared data set: what the import writes and the training package reads.

    DATA_DIR/index.json      this module's `DatasetIndex`
    DATA_DIR/images/…        the user's images under names that the import made: plain JPEG, PNG and WebP with their
                             bytes unchanged, anything else as an RGB PNG of the same pixels

The training package also takes a plain image folder without an index and makes one by the same rules (`layout.py`).
"""

from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from app.domain.base import Frozen

INDEX_NAME = "index.json"
LISTED_CLASSES = 200
"""Classes that a report, a page and a data set itself name; the others are counted, and listed page by page."""


class Split(StrEnum):
    """What an image is for."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"
    UNLABELLED = "unlabelled"


class Sample(Frozen):
    """One image."""

    id: str
    """SHA-256 of the bytes that the user sent."""
    path: str
    """Relative to the data set's folder, with forward slashes."""
    split: Split
    label: int | None = None
    """Index into `classes`; None exactly for unlabelled images."""
    source: str | None = None
    """The path as the user named it, where `path` is not that."""
    rewritten: str | None = None
    """SHA-256 of the file at `path`, where the import wrote the picture anew; None where that is `id`."""

    @property
    def sha256(self) -> str:
        """Of the file at `path`."""
        return self.rewritten or self.id

    @property
    def name(self) -> str:
        """What the user calls it."""
        return self.source or self.path


class DatasetIndex(Frozen):
    """Which images there are, where they belong, and how the split came to be."""

    version: int = 1
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    split_source: str = "given"
    """`given` by the user, or `stratified, seed N` where we made it."""
    digest: str = Field(default="", max_length=64)
    """SHA-256 over classes and sorted (id, split, label): the same content has the same digest under any file names."""


class Reason(NamedTuple):
    """Why a file was left out."""

    kind: str
    """In words that hold for every such file, by which reasons are counted."""
    detail: str = ""
    """What it is with this one, where that says more."""

    def __str__(self) -> str:
        return self.detail or self.kind


class SkippedFile(Frozen):
    """A file that was left out, and why."""

    path: str
    """As the user named it."""
    reason: str
    """Why it was left out."""


class ImageCopy(Frozen):
    """One of several files that show the same picture."""

    path: str
    """As the user named it."""
    split: Split
    """Where the copy belongs."""
    label: str | None
    """Its class; null for an unlabelled image."""


class Spread(Frozen):
    """Least, middle and most of something counted."""

    least: int
    """The smallest value."""
    median: int
    """The middle value."""
    most: int
    """The largest value."""


class ImageSizes(Frozen):
    """What the usable images are."""

    width: Spread
    """Pixels, upright."""
    height: Spread
    """Pixels, upright."""
    formats: dict[str, int]
    """Pillow's name of the format to images: `JPEG`, `PNG`, …"""


class OfferedReading(Frozen):
    """One way to read an archive."""

    id: str
    """Names it: `folders:2`, `table:train.csv`."""
    sentence: str
    """`4 classes from the second folder level, splits from `Training` and `Testing`.`"""
    class_count: int
    """All classes, also those that are not named."""
    classes: tuple[str, ...]
    """The first 20."""
    counts: dict[Split, int] = {}
    """Split to images, as far as the archive gives splits."""
    evidence: tuple[str, ...] = ()
    """Sentences: what speaks for it."""


class Understanding(Frozen):
    """What the import has understood of an archive, and what it has not."""

    sentence: str
    """What was understood; or, where it asks, what is possible."""
    reading: str
    """The id of the reading that was taken, or that is the likeliest."""
    evidence: tuple[str, ...] = ()
    """Sentences: what speaks for it."""
    ignored: tuple[str, ...] = ()
    """Sentences about what was not used, each with the reason."""
    warnings: tuple[str, ...] = ()
    """Sentences about how it was read; they stand among the report's too."""
    readings: tuple[OfferedReading, ...] = ()
    """Ways to read it that give different classes, the likeliest first; one alone where there is no other."""


class ImportOptions(Frozen):
    """What the owner of an archive says about it."""

    layout: str | None = None
    """The id of the reading that is meant, or what it begins with: `folders`, `table`, `coco`."""
    encoding: str | None = None
    """Of names in a zip and of tables that are not UTF-8."""
    labels_column: str | None = None
    """The heading of the column that tells the class."""
    unlabelled_classes: tuple[str, ...] = ()
    """Classes that mean no label."""
    stretch: bool = False
    """Spread the values of 16-bit images that use little of their range over all of it."""


class DatasetReport(Frozen):
    """What the import found. `warnings` are sentences for a person, each with what to do."""

    classes: tuple[str, ...] = ()
    """In the order of the student's outputs. What the service shows names the first 200."""
    class_count: int = 0
    """All classes, also those that are not named."""
    counts: dict[Split, dict[str, int]] = {}
    """Split to class name to images; unlabelled images stand under the empty class name. Of the classes named."""
    totals: dict[Split, int] = {}
    """Split to images, of all classes."""
    images: int = 0
    """Usable images."""
    sizes: ImageSizes | None = None
    """What the usable images are; null in reports of an early version."""
    skipped: tuple[SkippedFile, ...] = ()
    """Files that were left out; at most the first 1,000."""
    skipped_total: int = 0
    """All skipped files."""
    duplicates: tuple[tuple[ImageCopy, ...], ...] = ()
    """Groups of files with the same bytes; at most the first 1,000, and the first 20 files of each."""
    duplicates_total: int = 0
    """All such groups."""
    near_duplicates: tuple[tuple[ImageCopy, ...], ...] = ()
    """Groups of files with other bytes that show the same picture, in another size or quality; bounded likewise."""
    near_duplicates_total: int = 0
    """All such groups."""
    warnings: tuple[str, ...] = ()
    """Advice, each with what to do."""
    split_source: str = "given"
    """`given` by the archive, or `stratified, seed N` where the import made the split."""
    digest: str = ""
    """Digest of the content: equal for equal images, labels and splits."""
    layout: Understanding | None = None
    """How the archive was read; None where an earlier version has imported it."""

    def listed(self) -> "DatasetReport":
        """The same with at most the first 200 classes, and with all of them counted."""
        named = self.classes[:LISTED_CLASSES]
        return self.model_copy(
            update={
                "classes": named,
                "class_count": max(self.class_count, len(self.classes)),
                "counts": {
                    split: {name: images[name] for name in (*named, "") if name in images}
                    for split, images in self.counts.items()
                },
                "totals": self.totals or {split: sum(images.values()) for split, images in self.counts.items()},
            }
        )


LISTED_GROUPS, LISTED_COPIES = 24, 4
"""Groups of copies, and files of each, that a page shows and a preview has pictures of."""


class Preview(Frozen):
    """Small pictures for a page about the data set."""

    examples: dict[str, tuple[str, ...]]
    """Class name to paths as the user named them; unlabelled images stand under the empty class name."""
    pictures: dict[str, str]
    """Path to a JPEG of at most 96 pixels a side, in base64: of the examples and of copies that a page shows."""


class ImportResult(Frozen):
    """The import's verdict: `report` when the data set is ready, `question` when its owner has to choose a reading,
    otherwise why it is rejected."""

    report: DatasetReport | None = None
    question: Understanding | None = None
    code: str | None = None
    detail: str | None = None
    hint: str | None = None


def evaluation_split(splits: Collection[Split]) -> Split:
    """The least used of the splits that have images: test, else val, else train."""
    return next(split for split in (Split.TEST, Split.VAL, Split.TRAIN) if split in splits)
