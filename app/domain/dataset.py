"""A prepared data set: what the import writes and the training room reads.

    DATA_DIR/index.json      this module's `DatasetIndex`
    DATA_DIR/images/…        the user's images, bytes unchanged, under names that the import made

The training room also takes a plain image folder without an index and makes one by the same rules (`layout.py`).
"""

from enum import StrEnum

from pydantic import Field

from app.domain.base import Frozen

INDEX_NAME = "index.json"


class Split(StrEnum):
    TRAIN = "train"
    VAL = "val"
    TEST = "test"
    UNLABELLED = "unlabelled"


class Sample(Frozen):
    """One image."""

    id: str
    """SHA-256 of the file's bytes."""
    path: str
    """Relative to the data set's folder, with forward slashes."""
    split: Split
    label: int | None = None
    """Index into `classes`; None exactly for unlabelled images."""


class DatasetIndex(Frozen):
    """Which images there are, where they belong, and how the split came to be."""

    version: int = 1
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    split_source: str = "given"
    """`given` by the user, or `stratified, seed N` where we made it."""
    digest: str = Field(default="", max_length=64)
    """SHA-256 over classes and sorted (id, split, label): the same content has the same digest under any file names."""


class SkippedFile(Frozen):
    """A file that was left out, and why."""

    path: str
    reason: str


class ImageCopy(Frozen):
    """One of several files with the same bytes."""

    path: str
    """As the user named it."""
    split: Split
    label: str | None


class DatasetReport(Frozen):
    """What the import found. `warnings` are sentences for a person, each with what to do."""

    classes: tuple[str, ...] = ()
    counts: dict[Split, dict[str, int]] = {}
    """Split to class name to images; unlabelled images stand under the empty class name."""
    images: int = 0
    skipped: tuple[SkippedFile, ...] = ()
    skipped_total: int = 0
    """All skipped files; `skipped` lists at most the first 1,000."""
    duplicates: tuple[tuple[ImageCopy, ...], ...] = ()
    """Groups of files with the same bytes; at most the first 1,000."""
    duplicates_total: int = 0
    """All such groups."""
    warnings: tuple[str, ...] = ()
    split_source: str = "given"
    digest: str = ""


class ImportResult(Frozen):
    """The import's verdict: `report` when the data set is ready, otherwise why it is rejected."""

    report: DatasetReport | None = None
    code: str | None = None
    detail: str | None = None
    hint: str | None = None
