"""Corruptions of a photograph at three strengths, after Hendrycks & Dietterich (2019).

None is among the shifts that stage 1 trains with (colour cast, gamma, saturation, contrast, brightness, box blur, low
resolution: worker/training/data/views.py), or the test would measure what was practised.

H W pixels.
"""

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

Pixels = npt.NDArray[np.uint8]
"""[H, W, 3], RGB."""
STRENGTHS = (0, 1, 2)


def gaussian_noise(image: Pixels, strength: int, rng: np.random.Generator) -> Pixels:
    sigma = (0.06, 0.12, 0.2)[strength]
    return _to_pixels(image / 255 + rng.normal(0, sigma, image.shape))


def impulse_noise(image: Pixels, strength: int, rng: np.random.Generator) -> Pixels:
    """Some pixels become black or white."""
    hit = rng.random(image.shape[:2])
    share = (0.02, 0.06, 0.12)[strength]
    noisy = image.copy()
    noisy[hit < share / 2] = 0
    noisy[hit > 1 - share / 2] = 255
    return noisy


def motion_blur(image: Pixels, strength: int, rng: np.random.Generator) -> Pixels:
    """A mean along one direction, over a twentieth, a tenth or a sixth of the width."""
    length = max(2, round(image.shape[1] * (0.05, 0.1, 0.17)[strength]))
    slope = rng.uniform(-1, 1)
    steps = np.arange(length) - length // 2
    moved = [_moved(image, round(slope * step), int(step)).astype(np.float64) for step in steps]
    return _to_pixels(np.mean(moved, axis=0) / 255)


def jpeg(image: Pixels, strength: int, rng: np.random.Generator) -> Pixels:
    """Compressed at a low quality."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=(20, 10, 5)[strength])
    return np.asarray(Image.open(buffer).convert("RGB"))


def posterise(image: Pixels, strength: int, rng: np.random.Generator) -> Pixels:
    """Few levels a channel: 3, 2 or 1 bits."""
    return np.asarray(ImageOps.posterize(Image.fromarray(image), (3, 2, 1)[strength]))


Corruption = Callable[[Pixels, int, np.random.Generator], Pixels]
CORRUPTIONS: dict[str, Corruption] = {
    "gaussian noise": gaussian_noise,
    "impulse noise": impulse_noise,
    "motion blur": motion_blur,
    "jpeg": jpeg,
    "posterise": posterise,
}


def _moved(image: Pixels, down: int, right: int) -> Pixels:
    """The image moved by so many pixels; its border is repeated."""
    rows = np.clip(np.arange(image.shape[0]) - down, 0, image.shape[0] - 1)
    columns = np.clip(np.arange(image.shape[1]) - right, 0, image.shape[1] - 1)
    moved: Pixels = image[rows[:, None], columns[None]]
    return moved


def _to_pixels(image: npt.NDArray[np.floating]) -> Pixels:
    pixels: Pixels = (image.clip(0, 1) * 255).round().astype(np.uint8)
    return pixels
