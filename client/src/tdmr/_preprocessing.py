"""What a student sees of an image, as its manifest says: upright, 8-bit RGB, resized, cropped, normalised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageOps

_INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def prepare(image: Image.Image, preprocessing: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """float32 [1, 3, side, side]."""
    short_side, side = int(preprocessing["resize_short_side"]), int(preprocessing["center_crop"])
    resized = _resized(_rgb(image), short_side, _INTERPOLATIONS[preprocessing["interpolation"]])
    # a square of the short side first, then the crop within it: two roundings, as in training
    square = _centre(resized, short_side)
    pixels = np.asarray(_centre(square, side), dtype=np.float32) * np.float32(preprocessing.get("scale", 1 / 255))
    mean, std = (np.asarray(preprocessing[name], dtype=np.float32) for name in ("mean", "std"))
    return np.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1)[None], dtype=np.float32)


def _rgb(image: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):  # 16 bits of grey, which Pillow itself would clip
        samples = np.asarray(upright).clip(0, 65_535).astype(np.uint32)
        return Image.fromarray(((samples * 255 + 32_767) // 65_535).astype(np.uint8)).convert("RGB")
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return upright.convert("RGB")


def _resized(image: Image.Image, short_side: int, interpolation: Image.Resampling) -> Image.Image:
    width, height = image.size
    long_side = int(short_side * max(width, height) / min(width, height))
    return image.resize((short_side, long_side) if width <= height else (long_side, short_side), interpolation)


def _centre(image: Image.Image, side: int) -> Image.Image:
    left, top = round((image.width - side) / 2), round((image.height - side) / 2)
    return image.crop((left, top, left + side, top + side))
