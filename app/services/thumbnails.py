"""Small pictures for pages that show many. Made when they are first looked at, and kept in memory."""

import io
import threading

from cachetools import LRUCache
from PIL import Image, ImageOps

from app.db.models import Dataset
from app.domain.dataset import Sample
from app.domain.errors import FileLost
from app.services.dataset_images import Picture, gallery, picture
from app.storage.blobs import Blobs

SIDE = 264
"""Pixels of the longer side: twice what a page gives them, for screens with two pixels in place of one."""
FORMATS = ("JPEG", "PNG", "WEBP")
"""What the import writes."""
KEPT_BYTES = 64 * 2**20
_QUALITY = 80

_KEPT: LRUCache[str, Picture] = LRUCache(KEPT_BYTES, getsizeof=lambda kept: len(kept.content))
"""By ETag: equal bytes have equal thumbnails, whosever they are."""
_LOCK = threading.Lock()


def etag(sample: Sample) -> str:
    return f'"{sample.sha256}-{SIDE}"'


def thumbnail(blobs: Blobs, dataset: Dataset, name: str) -> Picture:
    """The image that the user calls `name`, with `SIDE` pixels at most; as it is where it has no more.

    Decoded in this process: the import has decoded the same bytes before, completely.

    Raises:
        NotFound, FileLost, StoreUnavailable: as `dataset_images.picture`.
    """
    key = etag(gallery(blobs, dataset).named(name))
    with _LOCK:
        known = _KEPT.get(key)
    if known is None:
        known = _made(picture(blobs, dataset, name))
        if len(known.content) <= KEPT_BYTES:
            with _LOCK:
                _KEPT[key] = known
    return known


def _made(whole: Picture) -> Picture:
    file = io.BytesIO()
    try:
        with Image.open(io.BytesIO(whole.content), formats=FORMATS) as image:
            if max(image.size) <= SIDE:
                return whole
            image.thumbnail((SIDE, SIDE))  # a JPEG is decoded at an eighth, a quarter or half of its size
            ImageOps.exif_transpose(image).convert("RGB").save(file, "JPEG", quality=_QUALITY)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise FileLost("The prepared data set is damaged.", hint="Upload the archive again.") from error
    return Picture(file.getvalue(), "image/jpeg")
