"""Views: how an image is cut and coloured, in bulk, on the device.

B batch, H W pixels, S side of the stored square.

Every random number is a function of (seed, image, view): a view can be made again alone, in any batch, after any
restart, on any machine. So a teacher's answer to a view can be cached, and a resumed run equals an uninterrupted one.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from app.domain.config import ViewConfig

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ASPECT = (3 / 4, 4 / 3)
_LUMA = (0.299, 0.587, 0.114)


def uniform(seed: int, keys_B: np.ndarray, views_B: np.ndarray, count: int) -> np.ndarray:
    """`count` uniform numbers in [0, 1) for each (image, view): splitmix64 over a counter (Steele et al., 2014).

    Args:
        keys_B: uint64, one per image, from its content.
        views_B: which view of it.

    Returns:
        float32 [B, count].
    """
    with np.errstate(over="ignore"):
        state = _mix(keys_B.astype(np.uint64) ^ _mix(np.full(1, seed, np.uint64) * _GOLDEN + np.uint64(1)))
        state = _mix(state + views_B.astype(np.uint64) * _GOLDEN)
        bits = _mix(state[:, None] + np.arange(1, count + 1, dtype=np.uint64)[None] * _GOLDEN)
    return ((bits >> np.uint64(40)).astype(np.float32)) / np.float32(1 << 24)


def _mix(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def crop_matrices(seed: int, keys_B: np.ndarray, views_B: np.ndarray, config: ViewConfig) -> Tensor:
    """The crop and flip of each view, as affine maps [B, 2, 3] from the view to the stored square in [-1, 1].

    Area uniform in [min_scale, 1], aspect ratio log-uniform in [3/4, 4/3] (Szegedy et al., 2015), position uniform.
    Relative to the image, so that teacher and student are cut alike at different resolutions.
    """
    u = uniform(seed, keys_B, views_B, 5)
    area = config.min_scale + u[:, 0] * (1 - config.min_scale)
    log_low, log_high = np.log(_ASPECT)
    aspect = np.exp(log_low + u[:, 1] * (log_high - log_low))
    width = np.minimum(np.sqrt(area * aspect), 1.0)
    height = np.minimum(np.sqrt(area / aspect), 1.0)
    flip = np.where(config.hflip & (u[:, 4] < 0.5), -1.0, 1.0)
    matrices = np.zeros((len(u), 2, 3), dtype=np.float32)
    matrices[:, 0, 0] = width * flip
    matrices[:, 1, 1] = height
    matrices[:, 0, 2] = (2 * u[:, 2] - 1) * (1 - width)
    matrices[:, 1, 2] = (2 * u[:, 3] - 1) * (1 - height)
    return torch.from_numpy(matrices)


def cut(squares_BSSC: Tensor, matrices_B23: Tensor, side: int) -> Tensor:
    """Cut views from stored squares.

    The squares are only a little larger than `side`, so bilinear sampling needs no antialiasing filter.

    Args:
        squares_BSSC: uint8 [B, S, S, 3].
        matrices_B23: from `crop_matrices`.

    Returns:
        float32 [B, 3, side, side] in [0, 1].
    """
    images = squares_BSSC.permute(0, 3, 1, 2).float().div_(255)
    centres = (2 * torch.arange(side, device=images.device) + 1) / side - 1
    (scale_x, _, x), (_, scale_y, y) = matrices_B23.to(images.device)[..., None].permute(1, 2, 0, 3)
    # nothing is rotated or sheared: columns and rows are mapped apart, which spares most of affine_grid's work
    columns, rows = scale_x * centres + x, scale_y * centres + y
    grid = torch.stack([columns[:, None, :].expand(-1, side, -1), rows[:, :, None].expand(-1, -1, side)], dim=-1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def jitter(images_BCHW: Tensor, strength: float, u_BN: Tensor) -> Tensor:
    """The student's own photometric jitter: brightness, contrast and saturation, each scaled by 1 ± strength.

    Args:
        u_BN: uniform numbers, of which the first three are read.
    """
    if strength == 0:
        return images_BCHW
    factors = 1 + strength * (2 * u_BN[:, :3].to(images_BCHW.device) - 1)
    brightness, contrast, saturation = (factors[:, i, None, None, None] for i in range(3))
    x = images_BCHW * brightness
    mean = _luma(x).mean((2, 3), keepdim=True)
    x = mean + contrast * (x - mean)
    grey = _luma(x)
    return (grey + saturation * (x - grey)).clamp(0, 1)


SHIFT_NUMBERS = 9


def shift(images_BCHW: Tensor, u_B9: Tensor) -> Tensor:
    """The domain-shifted view of a view for stage 1: colour cast, gamma, contrast, blur and low resolution.

    Strengths are drawn per image; half of the images are blurred, half lose resolution, at most down to a quarter.
    """
    u = u_B9.to(images_BCHW.device)
    column = [u[:, i, None, None, None] for i in range(SHIFT_NUMBERS)]
    cast = 0.7 + 0.6 * u[:, 0:3, None, None]
    x = (images_BCHW * cast).clamp(1e-4, 1) ** (0.6 + 1.0 * column[3])
    grey = _luma(x)
    x = grey + 1.2 * column[4] * (x - grey)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (0.5 + 0.9 * column[5]) * (x - mean)
    _blend(x, 2 * u_B9[:, 6] - 1, _blurred)
    _blend(x, 2 * u_B9[:, 7] - 1, _coarse)
    return (x + 0.2 * (column[8] - 0.5)).clamp(0, 1)


_STRONG_NUMBERS = 7
CHANGE_NUMBERS = 3 + SHIFT_NUMBERS + _STRONG_NUMBERS
"""What `jitter` and `strongly_changed` read together."""
_ANGLE, _SHEAR, _MOVE = 0.5, 0.3, 0.3
"""The largest, either way: radians, and shares of the side."""
_HOLE = 0.5
"""The side of the largest hole, as a share of the image's."""


def strongly_changed(images_BCHW: Tensor, u_BN: Tensor) -> Tensor:
    """A view that is hard to tell, and still shows the same: `shift`, then turned, sheared and moved, then a grey
    square cut out (what RandAugment with Cutout does, arXiv 1909.13719, from numbers of the image's own).

    Args:
        u_BN: uniform numbers, `CHANGE_NUMBERS` an image, of which `jitter`'s are left to it.
    """
    changed = shift(images_BCHW, u_BN[:, 3 : 3 + SHIFT_NUMBERS])
    angle, shear, right, down, size, left, top = u_BN[:, -_STRONG_NUMBERS:].to(images_BCHW.device).unbind(1)
    turn, lean = _ANGLE * (2 * angle - 1), _SHEAR * (2 * shear - 1)
    rows = (
        torch.stack([turn.cos(), lean - turn.sin(), _MOVE * (2 * right - 1)], 1),
        torch.stack([turn.sin(), turn.cos(), _MOVE * (2 * down - 1)], 1),
    )
    grid = F.affine_grid(torch.stack(rows, 1), list(images_BCHW.shape), align_corners=False)
    changed = F.grid_sample(changed, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return torch.where(_hole(images_BCHW.shape[-1], _HOLE * size, left, top)[:, None], 0.5, changed)


def _hole(side: int, size_B: Tensor, left_B: Tensor, top_B: Tensor) -> Tensor:
    """Which pixels [B, side, side] lie in a square around a point; sizes and places as shares of the side."""
    at = (torch.arange(side, device=size_B.device) + 0.5) / side
    columns, rows = ((at - middle[:, None]).abs() < size_B[:, None] / 2 for middle in (left_B, top_B))
    return rows[:, :, None] & columns[:, None, :]


def _blend(x_BCHW: Tensor, strength_B: Tensor, change: Callable[[Tensor], Tensor]) -> None:
    """Move each image towards what `change` makes of it, in place, by its strength; not at all where it is below 0."""
    chosen = (strength_B > 0).nonzero().flatten()
    if len(chosen):
        rows = chosen.to(x_BCHW.device)
        some, strengths = x_BCHW[rows], strength_B[chosen, None, None, None].to(x_BCHW.device)
        x_BCHW[rows] = torch.lerp(some, change(some), strengths)


def _blurred(x_BCHW: Tensor) -> Tensor:
    """The mean of 5 × 5 pixels; as sums of shifted images, which take a fraction of `avg_pool2d`'s time on a CPU."""
    height, width = x_BCHW.shape[2:]
    padded = F.pad(x_BCHW, (2, 2, 2, 2), mode="replicate")
    rows = torch.stack([padded[:, :, i : i + height] for i in range(5)]).sum(0)
    return torch.stack([rows[..., i : i + width] for i in range(5)]).sum(0) / 25


def _coarse(x_BCHW: Tensor) -> Tensor:
    """A quarter of the resolution, at the same size."""
    side = x_BCHW.shape[-1]
    low = F.interpolate(x_BCHW, size=(max(4, side // 4),) * 2, mode="area")
    return F.interpolate(low, size=(side, side), mode="bilinear", align_corners=False)


def _luma(x_BCHW: Tensor) -> Tensor:
    weights = torch.tensor(_LUMA, device=x_BCHW.device, dtype=x_BCHW.dtype)
    return (x_BCHW * weights[:, None, None]).sum(1, keepdim=True)
