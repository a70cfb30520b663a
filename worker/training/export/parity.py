"""The gate: an exported file must compute, on real images, what the trained student computes, or it is not published.

N images, K classes.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

import worker.training
from app.domain.errors import ExportParityFailed
from app.domain.manifest import Parity, Preprocessing
from worker.training.export.inputs import BATCH
from worker.training.export.parity_run import OTHER_SQUARE

log = logging.getLogger(__name__)

HINT = "Leave this format out of export.formats, or choose another student."
ORDINARY_LOGIT = 10.0
"""Trained classifiers rarely give more; what `max_logit_difference` is meant for."""
OWN_ROUNDINGS = 4.0
"""Two roundings, the student's and the file's, each drawn twice as unlucky on another order of summation."""


@dataclass(frozen=True)
class Originals:
    """The image files behind rows of squares, for checking how an export says they must be prepared."""

    folder: Path
    paths: Mapping[int, str]
    """Below `folder`, by row."""


def run_exported(
    path: Path,
    images_NHWC: npt.NDArray[np.uint8],
    preprocessing: Preprocessing | None = None,
    *,
    originals: Originals | None = None,
    scratch: Path | None = None,
) -> npt.NDArray[np.float32]:
    """Logits [N, K] of an exported file, from disk, in its own runtime in a fresh process, in batches of several sizes.

    Args:
        images_NHWC: squares, prepared but for the normalisation.
        preprocessing: None for what the file's own metadata say, which is what its users will go by.
        originals: these rows are prepared anew from their files as the metadata say, and must be those of
            `images_NHWC`. What takes pictures instead of squares is given these files' pictures, of every row.
        scratch: where the images are written for that process, as large as they are. None: the system's temporary
            folder, which in a container may be a small one in memory.

    Raises:
        ExportParityFailed: the runtime cannot load the file, or cannot run it on every batch size; or the metadata tell
            of another preprocessing.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        images, logits = Path(folder, "images.npy"), Path(folder, "logits.npy")
        _save(images, images_NHWC)
        command = [sys.executable, "-m", "worker.training.export.parity_run", *map(str, (path, images, logits))]
        command += ["--threads", str(torch.get_num_threads())]
        if preprocessing is not None:
            command += ["--preprocessing", preprocessing.model_dump_json()]
        if originals is not None:
            listed = Path(folder, "originals.json")
            listed.write_text(
                json.dumps([[row, str(originals.folder / name)] for row, name in originals.paths.items()])
            )
            command += ["--originals", str(listed)]
        done = subprocess.run(command, env=process_environment(), capture_output=True, text=True, check=False)
        if done.returncode == OTHER_SQUARE and originals is not None:
            raise ExportParityFailed(
                f"{path.name} tells of another preprocessing than the one the student was evaluated with: it gives "
                f"another square for '{originals.paths[int(done.stdout)]}'.",
                hint="Please report this: it is a bug.",
            )
        if done.returncode != 0:
            log.error("%s does not run: %s", path.name, done.stderr)
            raise ExportParityFailed(
                f"{path.name} cannot be run on the evaluation images by its own runtime.", hint=HINT
            )
        return np.load(logits)


def _save(path: Path, images_NHWC: npt.NDArray[np.uint8]) -> None:
    """As `np.save`, a few images at a time: they may be many, and lie on disk themselves."""
    header = {"descr": "|u1", "fortran_order": False, "shape": images_NHWC.shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(images_NHWC), BATCH):
            file.write(images_NHWC[start : start + BATCH].tobytes())


def check_parity(
    name: str,
    expected_NK: npt.NDArray[np.float32],
    actual_NK: npt.NDArray[np.float32],
    paths: Sequence[str],
    max_difference: float,
) -> Parity:
    """Compare an exported file's logits with the student's.

    Another top-1 class is forgiven only where the student itself holds both classes equal within `max_difference`;
    `top1_agreement` counts it all the same.

    Raises:
        ExportParityFailed: naming the file `name` and the first image, by its path, that is off.
    """
    if actual_NK.shape != expected_NK.shape:
        raise ExportParityFailed(f"{name} gives logits {actual_NK.shape}, not {expected_NK.shape}.", hint=HINT)
    parity = measure(expected_NK, actual_NK).model_copy(update={"bound": max_difference})
    rows = np.arange(len(expected_NK))
    top_N, other_N = expected_NK.argmax(1), actual_NK.argmax(1)
    apart_N = expected_NK[rows, top_N] - expected_NK[rows, other_N] > max_difference
    # written so that NaN fails
    off_N = ~(np.abs(actual_NK - expected_NK).max(1) <= max_difference) | apart_N
    if off_N.any():
        first = int(off_N.argmax())
        raise ExportParityFailed(
            f"{name} does not compute what was trained: on {int(off_N.sum())} of {len(off_N)} images its logits differ "
            f"by more than {max_difference:.2g} or its top class is another, first on '{paths[first]}'. Largest "
            f"difference {parity.max_logit_difference:.3g} on logits up to {np.abs(expected_NK).max():.3g}, top-1 "
            f"agreement {parity.top1_agreement:.2%}.",
            hint=HINT,
        )
    return parity


def allowed(max_difference: float, largest_logit: float, own_rounding: float = 0.0) -> float:
    """The bound that a file is held to.

    Beyond ±`ORDINARY_LOGIT` it grows with the logits, as float32's rounding does. And no file can agree better with the
    student than the student with exact arithmetic, so it is never below `OWN_ROUNDINGS` times that distance.
    Measured: a student whose logits reach 69 is 1e-4 from itself between batch sizes, and 1.3e-4 from its ONNX file,
    while the file is closer to the float64 truth. A wrong export is off by far more.
    """
    return max(max_difference * max(1.0, largest_logit / ORDINARY_LOGIT), OWN_ROUNDINGS * own_rounding)


def measure(expected_NK: npt.NDArray[np.float32], actual_NK: npt.NDArray[np.float32]) -> Parity:
    """Agreement and largest |Δlogit| of two sets of logits [N, K] on the same images. Not a number counts as 3.4e38,
    which JSON can carry."""
    largest = float(np.finfo(np.float32).max)
    difference_NK = np.nan_to_num(np.abs(actual_NK - expected_NK), nan=largest, posinf=largest)
    return Parity(
        images=len(expected_NK),
        top1_agreement=float((expected_NK.argmax(1) == actual_NK.argmax(1)).mean()),
        max_logit_difference=float(difference_NK.max()),
    )


def process_environment(*, accelerator: bool = False) -> dict[str, str]:
    """The child finds this code wherever it is installed, and leaves the accelerator to the trainer unless it is for
    that."""
    root = Path(next(iter(worker.training.__path__))).parents[1]
    search = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    hidden = {} if accelerator else {"CUDA_VISIBLE_DEVICES": ""}
    return {**os.environ, "PYTHONPATH": os.pathsep.join(search), **hidden}
