"""What to do about rare classes.

N labelled images, K classes.
"""

import numpy as np
import torch
from torch import Tensor


def class_weights(labels_N: np.ndarray, classes: int) -> Tensor:
    """float32 [K]: the inverse of each class's frequency, scaled to a mean of 1 over the classes that occur.

    −1 among the labels marks the unlabelled and is left out. A class without images weighs 0: it is never a target.
    """
    counts = np.bincount(labels_N[labels_N >= 0], minlength=classes)
    inverse = np.divide(1.0, counts, out=np.zeros(classes), where=counts > 0)
    return torch.from_numpy(inverse / inverse[counts > 0].mean()).float()
