"""The images of a data set, read one by one from its prepared archive: no more than what is looked at."""

import logging
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from cachetools import LRUCache
from pydantic import ValidationError

from app.db.models import Dataset
from app.domain.dataset import INDEX_NAME, DatasetIndex, Sample, Split
from app.domain.errors import FileLost, NotFound, StoreUnavailable
from app.storage.blobs import Blobs

MEDIA_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
"""The import writes nothing else; what has another name is shown as none."""
KEPT_SAMPLES = 400_000
"""Of indices in memory, some 300 bytes each; the one that was not asked for longest goes first."""

log = logging.getLogger(__name__)


class Gallery:
    """What is where in one prepared data set."""

    def __init__(self, index: DatasetIndex) -> None:
        self.classes = index.classes
        self.samples = index.samples
        self._by_name = {sample.name: sample for sample in index.samples}

    def __len__(self) -> int:
        return len(self.samples)

    def named(self, name: str) -> Sample:
        """
        Raises:
            NotFound: if the data set has no such image.
        """
        sample = self._by_name.get(name)
        if sample is None:
            raise NotFound("The data set has no such image.", param="path")
        return sample

    def chosen(self, split: Split | None, label: int | None) -> Sequence[Sample]:
        """Those of a split, of a class, or of both."""
        return [
            sample
            for sample in self.samples
            if (split is None or sample.split is split) and (label is None or sample.label == label)
        ]


_GALLERIES: LRUCache[str, Gallery] = LRUCache(KEPT_SAMPLES, getsizeof=len)
"""By storage key, under which nothing changes."""
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as a browser can show it."""

    content: bytes
    media_type: str


def gallery(blobs: Blobs, dataset: Dataset) -> Gallery:
    """
    Raises:
        NotFound: if the data set has no prepared images.
        FileLost, StoreUnavailable: if the storage lacks them or is away.
    """
    key = dataset.prepared_key
    if key is None:
        raise NotFound("The data set has no images yet.")
    with _LOCK:
        known = _GALLERIES.get(key)
    if known is None:
        try:
            known = Gallery(DatasetIndex.model_validate_json(_read(blobs, key, INDEX_NAME)))
        except ValidationError as error:
            log.exception("the index of %s cannot be read", key)
            raise FileLost("The prepared data set is damaged.", hint="Upload the archive again.") from error
        if len(known) <= KEPT_SAMPLES:
            with _LOCK:
                _GALLERIES[key] = known
    return known


def picture(blobs: Blobs, dataset: Dataset, name: str) -> Picture:
    """The image that the user calls `name`.

    Raises:
        NotFound, FileLost, StoreUnavailable: as `gallery`.
    """
    sample = gallery(blobs, dataset).named(name)
    assert dataset.prepared_key is not None, "it has a gallery"
    media_type = MEDIA_TYPES.get(PurePosixPath(sample.path).suffix)
    if media_type is None:
        raise NotFound("This image has no format that a browser shows.", param="path")
    return Picture(_read(blobs, dataset.prepared_key, sample.path), media_type)


def _read(blobs: Blobs, key: str, member: str) -> bytes:
    """The archive is not compressed, and its directory stands at the end: two or three ranges of it are read."""
    try:
        with blobs.open(key) as file, zipfile.ZipFile(file) as archive:
            return archive.read(member)
    except FileNotFoundError as error:
        raise FileLost("The storage no longer has this data set's images.", hint="Upload the archive again.") from error
    except (KeyError, zipfile.BadZipFile) as error:
        raise FileLost("The prepared data set is damaged.", hint="Upload the archive again.") from error
    except OSError as error:
        raise StoreUnavailable("The storage does not answer.", hint="Try again in a few seconds.") from error
