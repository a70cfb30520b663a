"""Printed glyphs as training images: 62 characters in the fonts that matplotlib ships, never drawn the same way twice.

Every glyph is kept as two distance fields: to its outline (print) and to its skeleton (what a pen would draw). A field
can be warped, thickened and softened in a batch with one `grid_sample`, which a rendered bitmap cannot.

B batch, G glyphs (character × font), S side of a field or image in pixels.
"""

import string
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from fontTools.agl import UV2AGL
from fontTools.ttLib import TTFont
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt  # type: ignore[import-untyped]
from torch import Tensor

CHARACTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
FIELD_SIDE = 64
"""Pixels of a field; a glyph fills `GLYPH_SIDE` of them, centred."""
GLYPH_SIDE = 44
COARSE_GROUPS = 8
"""A batch is coarsened in so many groups, each to a size of its own."""


@dataclass(frozen=True)
class Glyphs:
    """`fields_G2SS`: distance to the outline (negative inside) and to the skeleton, in half sides of the field."""

    fields_G2SS: Tensor
    labels_G: Tensor
    fonts_G: Tensor


def font_files() -> list[Path]:
    """matplotlib's fonts in which each of the 62 characters is drawn by the glyph that bears its name.

    The name matters: a symbol font answers to 'A' or '0' as well, and draws an arrow.
    """
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return [path for path in sorted(folder.glob("*.ttf")) if _spells(path)]


def load_glyphs(files: list[Path]) -> Glyphs:
    """Every character in every font, as distance fields."""
    masks = [_mask(path, character) for path in files for character in CHARACTERS]
    fields = np.stack([np.stack([_outline_distance(mask), _skeleton_distance(mask)]) for mask in masks])
    return Glyphs(
        fields_G2SS=torch.from_numpy(fields).float() / (FIELD_SIDE / 2),
        labels_G=torch.arange(len(CHARACTERS)).repeat(len(files)),
        fonts_G=torch.arange(len(files)).repeat_interleave(len(CHARACTERS)),
    )


def draw(glyphs: Glyphs, index_B: Tensor, side: int, rng: torch.Generator) -> Tensor:
    """Draw glyphs as photographs of print or pen strokes: warped, thick or thin, blurred, faint, noisy, dark or light.

    Returns:
        float32 [B, 3, side, side] in [0, 1], grey.
    """
    by_pen_B = torch.rand(len(index_B), generator=rng) < 0.5
    grid_BSS2, zoom_B = _grid(len(index_B), side, rng)
    fields_BSS = F.grid_sample(
        glyphs.fields_G2SS[index_B, by_pen_B.long()][:, None], grid_BSS2, padding_mode="border", align_corners=False
    )[:, 0]
    width_B = torch.where(by_pen_B, _uniform(rng, 0.03, 0.2, len(index_B)), _uniform(rng, -0.03, 0.08, len(index_B)))
    pixels_BSS = (width_B[:, None, None] - fields_BSS) * side / zoom_B[:, None, None]
    ink_BSS = torch.cat([_coarsen(part, rng) for part in torch.sigmoid(1.5 * pixels_BSS).chunk(COARSE_GROUPS)])
    return _expose(ink_BSS, rng)[:, None].expand(-1, 3, -1, -1)


def _uniform(rng: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=rng)


def _grid(count: int, side: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Where each pixel looks in its field (rotation, shear, stretch, shift, a smooth random warp) and from how far."""
    angle, shear = _uniform(rng, -0.3, 0.3, count), _uniform(rng, -0.35, 0.35, count)
    zoom, stretch = _uniform(rng, -0.43, 0.14, count).exp(), _uniform(rng, -0.3, 0.3, count).exp()
    cos, sin, x, y = angle.cos(), angle.sin(), zoom * stretch, zoom / stretch
    rows = [torch.stack([cos * x, (shear * cos - sin) * y], 1), torch.stack([sin * x, (cos + shear * sin) * y], 1)]
    affine_B23 = torch.cat([torch.stack(rows, 1), _uniform(rng, -0.12, 0.12, count, 2, 1)], 2)
    grid_BSS2 = F.affine_grid(affine_B23, [count, 1, side, side], align_corners=False)
    warp = torch.randn(count, 2, 4, 4, generator=rng) * _uniform(rng, 0, 0.09, count, 1, 1, 1)
    warp = F.interpolate(warp, size=side, mode="bicubic", align_corners=True)
    return grid_BSS2 + warp.permute(0, 2, 3, 1), zoom


def _coarsen(ink_BSS: Tensor, rng: torch.Generator) -> Tensor:
    """Down to between 8 pixels and full size, and up again: one size for a group, so that it stays one operation."""
    side = ink_BSS.shape[-1]
    coarse = int(torch.randint(8, side + 1, (), generator=rng))
    small = F.interpolate(ink_BSS[:, None], size=coarse, mode="area")
    return F.interpolate(small, size=side, mode="bicubic", align_corners=False)[:, 0]


def _expose(ink_BSS: Tensor, rng: torch.Generator) -> Tensor:
    """Dark on light or light on dark, at any contrast from 0.35, with noise."""
    shape = (len(ink_BSS), 1, 1)
    contrast = _uniform(rng, 0.35, 1, *shape)
    darkest = (1 - contrast) * torch.rand(shape, generator=rng)
    inverted = torch.rand(shape, generator=rng) < 0.5
    image = darkest + contrast * torch.where(inverted, ink_BSS, 1 - ink_BSS)
    noise = torch.randn(ink_BSS.shape, generator=rng) * _uniform(rng, 0, 0.1, *shape)
    return (image + noise).clamp(0, 1)


def _spells(path: Path) -> bool:
    names = TTFont(path, lazy=True).getBestCmap() or {}
    return all(names.get(ord(character)) == UV2AGL[ord(character)] for character in CHARACTERS)


def _mask(path: Path, character: str) -> NDArray[np.bool_]:
    """The glyph in black and white, its longer side `GLYPH_SIDE` pixels, in the middle of the field."""
    font = ImageFont.truetype(path, 4 * GLYPH_SIDE)
    left, top, right, bottom = font.getbbox(character)
    glyph = Image.new("L", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(glyph).text((-left, -top), character, fill=255, font=font)
    scale = GLYPH_SIDE / max(glyph.size)
    size = (round(scale * glyph.width), round(scale * glyph.height))
    glyph = glyph.resize(size, Image.Resampling.BOX)
    field = Image.new("L", (FIELD_SIDE, FIELD_SIDE))
    field.paste(glyph, ((FIELD_SIDE - glyph.width) // 2, (FIELD_SIDE - glyph.height) // 2))
    return np.asarray(field) > 127


def _outline_distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return distance_transform_edt(~mask) - distance_transform_edt(mask)


def _skeleton_distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return distance_transform_edt(~_thin(mask))


def _thin(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Zhang & Suen (1984): peel the boundary from two sides in turn, never breaking it, until it is one pixel wide."""
    image = mask.copy()
    while True:
        before = image.copy()
        for first in (True, False):
            n, ne, e, se, s, sw, w, nw = _neighbours(image)
            ring = np.stack([n, ne, e, se, s, sw, w, nw])
            count = ring.sum(0)
            crossings = (~ring & np.roll(ring, -1, axis=0)).sum(0)
            sides = ~(n & e & s) & ~(e & s & w) if first else ~(n & e & w) & ~(n & s & w)
            image &= ~((count >= 2) & (count <= 6) & (crossings == 1) & sides)
        if (image == before).all():
            return image


def _neighbours(image: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The eight neighbours of every pixel, clockwise from north."""
    p = np.pad(image, 1)
    return [p[:-2, 1:-1], p[:-2, 2:], p[1:-1, 2:], p[2:, 2:], p[2:, 1:-1], p[2:, :-2], p[1:-1, :-2], p[:-2, :-2]]
