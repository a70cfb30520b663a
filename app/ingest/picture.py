"""What the import finds out about one file, in one decoding: whether it is a usable image, and what it looks like."""

import hashlib
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from app.domain.dataset import Reason
from app.imaging import HEIC, MAX_PIXELS, SUFFIXES, Decoded, UnreadableImage, decode
from app.ingest.foreign import is_heif, looks_like_image, what

PATCH_SIDE = 8
"""Pixels. Two pictures whose patches differ by a few levels show the same."""
COMPARED_SIDE = 72
"""Pixels: twice the grid that the difference hash is taken from."""
NORMAL_SUFFIX = ".png"
THUMBNAIL_SIDE = 96
_THUMBNAIL_QUALITY = 70
LOW_CONTRAST = 0.25
"""Share of their range up to which 16-bit files show little: 12 bits of a sensor in 16 are a sixteenth."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A usable image."""

    id: str
    """SHA-256 of the file's bytes."""
    format: str
    """As Pillow calls it; what the file is, not what its name says."""
    width: int
    height: int
    plain: bool
    """Whether its bytes can be kept as they are (`app.imaging.Decoded`)."""
    hash: int
    """64 bits, a difference hash: each tells whether one of 8 × 8 places is brighter than the place to its left."""
    patch: bytes
    """The picture at 8 × 8 pixels, RGB: 192 bytes."""
    levels: tuple[int, int, int] | None = None
    """As `app.imaging.Decoded`."""

    @property
    def suffix(self) -> str:
        """Of the file as the import stores it."""
        return SUFFIXES[self.format] if self.plain else NORMAL_SUFFIX


@dataclass(frozen=True, slots=True)
class Finished:
    """A usable image as it is stored and shown."""

    normal: bytes | None
    """The same picture as an RGB PNG, 8 bits, upright, lossless; None where the file's own bytes are plain."""
    thumbnail: bytes
    """JPEG, at most 96 pixels a side."""


def inspect_image(data: bytes, max_pixels: int = MAX_PIXELS) -> Picture | Reason:
    """Decode a file completely; the reason where it is no usable image."""
    try:
        decoded = decode(data, max_pixels, at_least=COMPARED_SIDE)
        hash_, patch = _fingerprint(_contrasted(decoded, data, max_pixels))
    except UnreadableImage as error:
        return _called_by_name(data) or Reason(error.kind, str(error))
    return Picture(
        id=hashlib.sha256(data).hexdigest(),
        format=decoded.format,
        width=decoded.size[0],
        height=decoded.size[1],
        plain=decoded.plain,
        hash=hash_,
        patch=patch,
        levels=decoded.levels,
    )


def finish(data: bytes, max_pixels: int = MAX_PIXELS, levels: tuple[int, int] | None = None) -> Finished:
    """What is stored of an image that `inspect_image` found usable; `levels` as for `app.imaging.decode`.

    Raises:
        UnreadableImage: it is none.
    """
    # of what is decoded smaller nothing but the thumbnail is made: such a file is plain
    decoded = decode(data, max_pixels, levels, at_least=THUMBNAIL_SIDE)
    assert decoded.plain or max(decoded.image.size) == max(decoded.size), "what is written anew has its full size"
    normal = None if decoded.plain else _png(decoded.image)
    return Finished(normal, _thumbnail(decoded.image))


def _called_by_name(data: bytes) -> Reason | None:
    """The reason for a file whose bytes tell what it is instead of an image that is read."""
    if is_heif(data):
        if HEIC:
            return Reason("a damaged HEIC image: save it as JPEG from the original")
        return Reason("a HEIC image, which this service does not read: save it as JPEG, or have tdmr[heic] installed")
    if looks_like_image(data):
        return None
    kind = what(data)
    return None if kind is None else Reason(f"not an image but {kind}")


def _contrasted(decoded: Decoded, data: bytes, max_pixels: int) -> Image.Image:
    """The picture for comparing. One with more than 8 bits that uses little of its range is nearly black as it is, and
    so are all others of its kind: compared like that they would be one picture."""
    if decoded.levels is None or decoded.levels[1] - decoded.levels[0] > LOW_CONTRAST * decoded.levels[2]:
        return decoded.image
    return decode(data, max_pixels, decoded.levels[:2]).image


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3)
    return file.getvalue()


def _thumbnail(image: Image.Image) -> bytes:
    """Shrinks `image` itself."""
    file = io.BytesIO()
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    image.save(file, "JPEG", quality=_THUMBNAIL_QUALITY)
    return file.getvalue()


def _fingerprint(rgb: Image.Image) -> tuple[int, bytes]:
    """Difference hash and patch.

    Smoothly resized first: of copies at 0.5, 0.7 and 2 times the size and at JPEG quality 40, 97 to 100 % are found so
    on three sets of photographs; with plain means over areas 67 to 100 %.
    """
    small = rgb.resize((36, 32), Image.Resampling.BILINEAR, reducing_gap=2.0)
    grey = np.asarray(small.convert("L").resize((9, 8), Image.Resampling.BOX))
    bits = np.packbits(grey[:, 1:] > grey[:, :-1])
    patch = small.resize((PATCH_SIDE, PATCH_SIDE), Image.Resampling.BOX)
    return int.from_bytes(bits.tobytes(), "big"), patch.tobytes()
