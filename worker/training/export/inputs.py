"""Images to the student's input, in numpy alone: the trainer, the parity gate and a process without torch share it.

N images, H W pixels.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

INPUT_NAME = "images"
"""float32 [N, 3, H, W], normalised."""
OUTPUT_NAME = "logits"
"""float32 [N, K]."""
PICTURE_NAME = "image"
"""uint8 [H, W, 3], red first, upright, of any size: what `student.pixels.onnx` takes instead."""
PROBABILITIES_NAME = "probabilities"
"""float32 [K], and so are the logits there."""

BATCH = 32


def normalise(
    images_NHWC: npt.NDArray[np.uint8], mean: Sequence[float], std: Sequence[float], scale: float = 1 / 255
) -> npt.NDArray[np.float32]:
    """`(RGB · scale − mean) / std`, rounded to float32 at each step, contiguous [N, 3, H, W]."""
    channels = images_NHWC.astype(np.float32)
    channels *= np.float32(scale)
    channels -= np.asarray(mean, np.float32)
    channels /= np.asarray(std, np.float32)
    return np.ascontiguousarray(channels.transpose(0, 3, 1, 2))


def uneven_batches(images: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """All images once: one alone, then by 32, then the rest, so that a baked-in batch size cannot stay unnoticed."""
    yield images[:1]
    for start in range(1, len(images), BATCH):
        yield images[start : start + BATCH]
