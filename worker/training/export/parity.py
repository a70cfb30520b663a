"""Runs an exported file on the images of the evaluation, from disk, in a process of its own.

N images, K classes, S the student's side.
"""

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from app.domain.errors import ExportParityFailed
from app.domain.manifest import Preprocessing
from worker.training.export.format import BATCH, Format
from worker.training.export.runtime import OTHER_SQUARE, start
from worker.training.export.tolerance import HINT

log = logging.getLogger(__name__)

COMPARED_SQUARES = 32
"""So many image files are prepared anew for each export: another size, crop or filter shows on the first of them."""
PICTURES = 512
"""Files that a format with its own resizing is tried on: it must be seen at many shapes, and a picture may take seconds
to decode."""


@dataclass(frozen=True)
class Originals:
    """The image files behind rows of squares, for checking how an export says they must be prepared."""

    folder: Path
    paths: Mapping[int, str]
    """Below `folder`, by row."""


@dataclass(frozen=True)
class Judged:
    """The images of the evaluation."""

    squares_NHWC: npt.NDArray[np.uint8]
    """[N, S, S, 3], already resized and cropped; at least one. May be memory-mapped."""
    paths: Sequence[str]
    """[N], how an image is called in an error."""
    folder: Path | None = None
    """Where `paths` are image files. None: there are none, and the squares are all that is known."""
    labels_N: npt.NDArray[np.int64] | None = None
    """None: the student's own answers are taken for the truth."""


def answers(
    chosen: Format, path: Path, judged: Judged, scratch: Path | None = None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Run a file as its users will. Returns its logits [M, K] and the rows [M] of the images that it was tried on.

    Raises:
        ExportParityFailed: it cannot be run, or tells of another preprocessing than the squares had.
    """
    count = len(judged.paths)
    rows = spread(count, PICTURES) if chosen.takes_pictures else np.arange(count)
    compared = rows if chosen.takes_pictures else spread(count, COMPARED_SQUARES)
    squares_NHWC = judged.squares_NHWC[rows] if len(rows) < count else judged.squares_NHWC  # which may lie on disk
    originals = None
    if judged.folder is not None:
        places = np.searchsorted(rows, compared).tolist()
        paths = (judged.paths[row] for row in compared.tolist())
        originals = Originals(judged.folder, dict(zip(places, paths, strict=True)))
    return run_exported(chosen, path, squares_NHWC, originals=originals, scratch=scratch), rows


def spread(count: int, most: int) -> npt.NDArray[np.int64]:
    """At most so many of `count` rows, evenly over all."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def run_exported(
    chosen: Format,
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
        arguments = [str(one.resolve()) for one in (path, images, logits)]
        if preprocessing is not None:
            arguments += ["--preprocessing", preprocessing.model_dump_json()]
        if originals is not None:
            listed = Path(folder, "originals.json")
            listed.write_text(
                json.dumps([[row, str(originals.folder.resolve() / name)] for row, name in originals.paths.items()])
            )
            arguments += ["--originals", str(listed.resolve())]
        done = start(chosen, "parity", *arguments, threads=torch.get_num_threads())
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
