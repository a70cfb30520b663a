"""A trained network asked in PyTorch: the logits that every exported file must agree with.

N images, K classes.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from worker.training.export.format import normalise


def predict(
    model: nn.Module,
    images_NHWC: npt.NDArray[np.uint8],
    mean: Sequence[float],
    std: Sequence[float],
    *,
    batch_size: int,
    device: torch.device | str,
) -> npt.NDArray[np.float32]:
    """Logits [N, K] of a network that takes normalised NCHW images and already lies on `device`.

    Runs in eval mode in float32; every submodule's own mode is restored. `images_NHWC` may be memory-mapped.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            batches = [
                model(torch.from_numpy(normalise(images_NHWC[start : start + batch_size], mean, std)).to(device))
                .float()
                .cpu()
                .numpy()
                for start in range(0, len(images_NHWC), batch_size)
            ]
    finally:
        for module, training in modes:
            module.training = training
    return np.concatenate(batches)
