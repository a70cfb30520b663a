"""Which images int8 is calibrated on."""

import numpy as np
import numpy.typing as npt

from worker.training.data import Pool, decode_squares
from worker.training.export.gate import spread
from worker.training.export.int8 import CALIBRATION_IMAGES
from worker.training.prepare import INTERPOLATION, Images, Run


def calibration_images(run: Run, images: Images) -> npt.NDArray[np.uint8]:
    """Up to `CALIBRATION_IMAGES` training images, labelled or not, prepared as the student will see images in use.

    Never validation or test images: the ranges would then be fitted to what the file is judged by. Pools are sorted by
    the hash of their images' content, so that taking them evenly is a draw by chance, and the same one each time.

    Returns:
        uint8 [N, S, S, 3].
    """
    samples = images.pools.training.samples
    chosen = Pool(tuple(samples[row] for row in spread(len(samples), CALIBRATION_IMAGES).tolist()))
    squares = decode_squares(
        run.data_dir, chosen, run.spec.image_size, INTERPOLATION, run.cache, lambda fraction: None, run.stop_requested
    )
    return squares[:]
