"""A data set with few labels: part of an archive's train split keeps its labels, the rest lies in `unlabeled/`.

Validation and test images are the data set's own, or drawn once by the product's rule where it has none, so that runs
of all seeds, methods and numbers of labels are judged on the same images. Only the labelled draw differs by seed, and
the labels of a smaller draw are among those of a larger.
"""

import hashlib
import os
import random
import shutil
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.dataset import DatasetIndex, Sample, Split
from app.domain.files import sha256_file
from app.reading.layout import index_folder

SPLIT_SEED = 0
"""Without splits of its own, an archive is split as an upload is: 10 % of each class to val, 20 % to test."""


@dataclass(frozen=True)
class Subset:
    """What of an archive a run sees."""

    archive: Path
    """A zip as a user would upload it."""
    labels_per_class: int | None
    """Labelled images of each class, or all it has if those are fewer; None: all."""
    seed: int
    """Draws the labelled images."""
    shuffled: bool = False
    """Exchange the labels of the labelled training images at random: a control that nobody can learn from."""
    unlabelled: int | None = None
    """At most so many unlabelled images; None: the whole rest of train."""

    @property
    def facts(self) -> dict[str, Any]:
        """What a line of results says of the data."""
        return {
            "data": self.archive.stem,
            "labels_per_class": "all" if self.labels_per_class is None else self.labels_per_class,
            "seed": self.seed,
            "shuffled_labels": self.shuffled,
            "unlabelled_limit": self.unlabelled,
        }

    def folder(self, work: Path) -> Path:
        """The image folder, made below `work` at the first call; its images are hard links to the extracted ones."""
        source = extract(self.archive, work)
        name = "-".join([source.name, *(f"{key}={value}" for key, value in self.facts.items() if key != "data")])
        folder = work / name
        with _made_once(folder) as unfinished:
            if unfinished is not None:
                for target, sample in self.placed(index_folder(source, SPLIT_SEED)):
                    (unfinished / target).parent.mkdir(parents=True, exist_ok=True)
                    _link(source / sample.path, unfinished / target)
        return folder

    def placed(self, index: DatasetIndex) -> Iterator[tuple[str, Sample]]:
        """Each image's path in the folder. Files are named by content: an unlabelled one must not tell its class."""
        held_out = {sample.id: sample for sample in index.samples if sample.split in (Split.VAL, Split.TEST)}
        # by content: a copy of a test image in train would make the test too easy
        train = {
            sample.id: sample for sample in index.samples if sample.split is Split.TRAIN and sample.id not in held_out
        }
        labelled, rest = self._drawn(train)
        others = [s for s in index.samples if s.split is Split.UNLABELLED and s.id not in held_out | train.keys()]
        labels = [sample.label for sample in labelled]
        if self.shuffled:
            random.Random(f"labels:{self.seed}").shuffle(labels)
        for sample, label in zip(labelled, labels, strict=True):
            assert label is not None
            yield f"train/{index.classes[label]}/{_file_name(sample)}", sample
        for sample in [*rest, *others][: self.unlabelled]:
            yield f"unlabeled/{_file_name(sample)}", sample
        for sample in held_out.values():
            assert sample.label is not None
            yield f"{sample.split}/{index.classes[sample.label]}/{_file_name(sample)}", sample

    def _drawn(self, train: dict[str, Sample]) -> tuple[list[Sample], list[Sample]]:
        """The labelled images and the others, in an order that the seed and their contents decide."""
        by_class: dict[int | None, list[Sample]] = defaultdict(list)
        shuffled = sorted(train.values(), key=lambda s: hashlib.sha256(f"{self.seed}:{s.id}".encode()).digest())
        for sample in shuffled:
            by_class[sample.label].append(sample)
        labelled = {s.id for of_class in by_class.values() for s in of_class[: self.labels_per_class]}
        return [s for s in shuffled if s.id in labelled], [s for s in shuffled if s.id not in labelled]


def extract(archive: Path, work: Path) -> Path:
    """The archive's images below `work`, extracted at the first call."""
    folder = work / f"{archive.stem}-{sha256_file(archive)[:8]}"
    with _made_once(folder) as unfinished:
        if unfinished is not None:
            with zipfile.ZipFile(archive) as opened:
                opened.extractall(unfinished)
    return folder


@contextmanager
def _made_once(folder: Path) -> Iterator[Path | None]:
    """Yields a temporary folder that becomes `folder` when all is in it, or None where that is there already.

    Two processes may make the same one at once: the first to end wins, and both find the same content.
    """
    if folder.is_dir():
        yield None
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", ignore_cleanup_errors=True) as name:
        unfinished = Path(name, "content")
        unfinished.mkdir()
        yield unfinished
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def _file_name(sample: Sample) -> str:
    return sample.id[:20] + Path(sample.path).suffix.lower()
