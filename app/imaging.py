"""From an image file to RGB pixels: the one decoder and the one clean preprocessing of the whole project.

The import decodes every file through it, so what is called unreadable there is never met in training; training,
evaluation and the preprocessing promised in a manifest all go through `fit_square`.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from app.domain.manifest import Preprocessing

try:
    import pillow_heif
except ImportError:
    HEIC = False
else:
    HEIC = True
    pillow_heif.register_heif_opener(thumbnails=False)

SUFFIXES = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "GIF": ".gif",
    "TIFF": ".tif",
    "PPM": ".ppm",
    "AVIF": ".avif",
    "HEIF": ".heic",
}
"""The formats that are read, by Pillow's name, and the suffix each is stored under. Nothing else is even tried, so
formats that run programs (EPS) or have a long history of flaws are never reached. HEIF needs the extra `tdmr[heic]`."""
FORMATS = tuple(format for format in SUFFIXES if format != "HEIF" or HEIC)
"""Those that are read here."""

MAX_PIXELS = 64_000_000
"""Default limit of one image, in pixels: 192 MB once decoded."""
MAX_ASPECT = 50
"""Longest side over shortest. Beyond it a square crop shows next to nothing and resizing needs a lot of memory."""

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to what turns the image upright (EXIF 2.32, tag 274)."""
_FIRST_ON_ITS_SIDE = 5
"""From this orientation on, width and height change places."""

_PLAIN_FORMATS, _PLAIN_MODES = frozenset({"JPEG", "PNG", "WEBP"}), frozenset({"RGB", "L"})

_TOO_LARGE = "more pixels than allowed"
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262
_WHITE_IS_ZERO = 0


class UnreadableImage(ValueError):
    """The file cannot be used as a training image. Its message is a short reason for a person."""

    def __init__(self, kind: str, detail: str = "") -> None:
        """
        Args:
            kind: in words that hold for every such file.
            detail: what it is with this one, where that says more.
        """
        super().__init__(detail or kind)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Decoded:
    """A completely decoded file."""

    image: Image.Image
    """Upright, 8-bit RGB."""
    size: tuple[int, int]
    """Width and height of the upright picture in the file; `image` may be smaller, where that was asked for."""
    format: str
    """The file's format, a key of SUFFIXES."""
    plain: bool
    """Whether every decoder reads the file alike: JPEG, PNG or WebP in 8-bit grey or colour, nothing transparent. A
    JPEG stays plain when its EXIF tag turns it: writing it anew would cost either quality or many times its bytes."""
    levels: tuple[int, int, int] | None = None
    """Of a file with more than 8 bits a sample: the lowest and the highest value, and the one that is white."""


def open_rgb(data: bytes | Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode an image completely, upright, as 8-bit RGB.

    CMYK is converted, 16-bit samples are rescaled, palettes are resolved, transparency is laid on white, grey is
    repeated over the channels. Colour profiles are ignored, as common training pipelines do.

    Args:
        data: the file's bytes, or where it is.
        max_pixels: larger images are refused before anything is decoded.

    Raises:
        UnreadableImage: with the reason: not an image, damaged, animated, too large, of an extreme shape.
        OSError: the file itself cannot be read.
    """
    return decode(data if isinstance(data, bytes) else data.read_bytes(), max_pixels).image


def decode(
    data: bytes, max_pixels: int = MAX_PIXELS, levels: tuple[int, int] | None = None, at_least: int | None = None
) -> Decoded:
    """As `open_rgb`, with what the file was.

    Args:
        data: the file's bytes.
        max_pixels: larger images are refused before anything is decoded.
        levels: the samples that become black and white, in files with more than 8 bits a sample; None: 0 and the
            largest that the file can hold.
        at_least: pixels of each side that are enough. A JPEG is then decoded at a half, a quarter or an eighth of its
            size, where it stays as large as that. All its data are read all the same, so the same files are damaged;
            but most of the arithmetic is left out.

    Raises:
        UnreadableImage: as `open_rgb`.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_header(image, max_pixels)
            size = image.size
            if at_least is not None and image.format == "JPEG" and image.mode in _PLAIN_MODES:
                image.draft(image.mode, (at_least, at_least))
            image.load()
            measured, rgb = _to_rgb(image, levels)
            orientation = _orientation(image)
            rotation = _UPRIGHT.get(orientation)
            # a phone's MPO is a JPEG with a second picture behind it
            format = "JPEG" if image.format == "MPO" else image.format or ""
            return Decoded(
                image=rgb if rotation is None else rgb.transpose(rotation),
                size=size if orientation < _FIRST_ON_ITS_SIDE or rotation is None else (size[1], size[0]),
                format=format,
                plain=format in _PLAIN_FORMATS
                and image.mode in _PLAIN_MODES
                and not image.has_transparency_data
                and (rotation is None or format == "JPEG"),
                levels=measured,
            )
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(f"not an image, or not one of {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:
        raise UnreadableImage(_TOO_LARGE, f"more than the {max_pixels} pixels allowed") from None
    except MemoryError:
        raise UnreadableImage("it needs too much memory to be decoded") from None
    except Exception as error:  # a decoder may raise anything on damaged or hostile bytes
        raise UnreadableImage("damaged or truncated image data") from error


def fit_square(image: Image.Image, side: int, interpolation: str = "bilinear") -> npt.NDArray[np.uint8]:
    """The clean preprocessing: resize the short side, then crop the centre.

    Exactly torchvision's `Resize(side)` and `CenterCrop(side)` on a Pillow image: the short side becomes `side`, the
    long side `int(side * long / short)` (rounded down); the resampling is antialiased; the crop starts at
    `round((length - side) / 2)`, halves to the even number.

    Args:
        image: RGB, any size.
        side: pixels, positive.
        interpolation: a key of INTERPOLATIONS.

    Returns:
        uint8 [side, side, 3], red first.
    """
    width, height = image.size
    short, long = min(width, height), max(width, height)
    scaled = int(side * long / short)
    size = (side, scaled) if width <= height else (scaled, side)
    resized = image.resize(size, INTERPOLATIONS[interpolation])
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    return np.array(resized.crop((left, top, left + side, top + side)), dtype=np.uint8)


def clean_square(image: Image.Image, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """What a student sees of an image before its values are scaled, as its manifest tells: uint8 [S, S, 3] with S the
    side of the crop."""
    square = fit_square(image, preprocessing.resize_short_side, preprocessing.interpolation)
    margin = round((preprocessing.resize_short_side - preprocessing.center_crop) / 2)
    inside = slice(margin, margin + preprocessing.center_crop)
    return square[inside, inside]


def _check_header(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise UnreadableImage(_TOO_LARGE, f"{width} × {height} is more than the {max_pixels} pixels allowed")
    short, long = min(width, height), max(width, height)
    if short < 2:
        kind = "too small to show anything"
        raise UnreadableImage(kind, f"{width} × {height} is {kind}")
    if long > MAX_ASPECT * short:
        kind = f"more than {MAX_ASPECT} times longer than wide"
        raise UnreadableImage(kind, f"{width} × {height} is {kind}")
    if image.format != "MPO" and getattr(image, "is_animated", False):
        several = "several pages" if image.format == "TIFF" else "animated"
        raise UnreadableImage(f"{several}: only single pictures are used")


Levels = tuple[int, int, int]


def _to_rgb(image: Image.Image, levels: tuple[int, int] | None = None) -> tuple[Levels | None, Image.Image]:
    measured: Levels | None = None
    if image.mode.startswith("I"):
        measured, image = _rescaled(image, levels)
    if image.mode == "F":
        raise UnreadableImage("floating-point samples have no agreed white; save it with 8 or 16 bits")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        canvas = Image.new("RGBA", layer.size, "white")
        return measured, Image.alpha_composite(canvas, layer).convert("RGB")
    return measured, image.convert("RGB")


def _rescaled(image: Image.Image, levels: tuple[int, int] | None) -> tuple[Levels, Image.Image]:
    """Up to 16 bits of grey to 8, by ⌊255·v/white + ½⌋. Pillow's own conversion would clip some of these modes."""
    white, inverted = 65_535, False
    if image.format == "TIFF":
        tags: dict[int, int | tuple[int, ...]] = dict(getattr(image, "tag_v2", {}))
        bits = tags.get(_TIFF_BITS, 16)
        white = 2 ** (bits[0] if isinstance(bits, tuple) else bits) - 1
        inverted = tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO
        if image.mode == "I":
            raise UnreadableImage("signed or 32-bit samples have no agreed white; save it with 8 or 16 bits")
    samples = np.asarray(image).clip(0, white).astype(np.uint32)
    measured = int(samples.min()), int(samples.max()), white
    if levels is not None:
        low, high = levels
        samples = samples.clip(low, high) - np.uint32(low)
        white = max(1, high - low)
    samples *= 255
    samples += white // 2
    samples //= white
    grey = samples.astype(np.uint8)
    return measured, Image.fromarray(255 - grey if inverted else grey)


def _orientation(image: Image.Image) -> int:
    """1..8; a damaged EXIF block does not make a readable picture unreadable."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:
        return 1
