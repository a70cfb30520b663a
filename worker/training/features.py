"""The teacher's answers, computed once per (image, view) and kept.

N images, V views, W summed tap widths, B batch.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from app.domain.files import replaced_atomically
from app.domain.spec import ViewConfig
from worker.training.loop import Stopped
from worker.training.models import Teacher
from worker.training.views import SHIFT_NUMBERS, crop_matrices, cut, shift, uniform

_TEACHER_BATCH = 128
_FLOAT16_LARGEST = 65504.0
# the photometric shift has random numbers of its own: the same crop of an image must meet unrelated colours
_SHIFT_SEED = 1_000_003


class TapSource:
    """Cuts views from stored squares and asks the teacher.

    Args:
        squares_NSSC: uint8, at a little over the teacher's size.
        keys_N: uint64 content keys of the images.
    """

    def __init__(
        self, teacher: Teacher, squares_NSSC: np.ndarray, keys_N: np.ndarray, config: ViewConfig, seed: int
    ) -> None:
        self.teacher = teacher
        self.squares_NSSC = squares_NSSC
        self.keys_N = keys_N
        self.config = config
        self.seed = seed

    def part(self, rows: slice) -> "TapSource":
        """The same source over some of its images."""
        return TapSource(self.teacher, self.squares_NSSC[rows], self.keys_N[rows], self.config, self.seed)

    def taps(self, rows_B: np.ndarray, views_B: np.ndarray, *, shifted: bool = False) -> Tensor:
        """Taps side by side, float32 [B, W], of these views, or of their domain-shifted twins."""
        device = self.teacher.mean.device
        squares = torch.from_numpy(self.squares_NSSC[rows_B]).to(device)
        keys = self.keys_N[rows_B]
        images = cut(squares, crop_matrices(self.seed, keys, views_B, self.config), self.teacher.image_size)
        if shifted:
            numbers = uniform(self.seed + _SHIFT_SEED, keys, views_B, SHIFT_NUMBERS)
            images = shift(images, torch.from_numpy(numbers))
        return torch.cat(self.teacher(images), 1)

    def cached(
        self,
        path: Path,
        views: int,
        *,
        shifted: bool = False,
        on_progress: Callable[[float], None],
        stop_requested: Callable[[], bool],
    ) -> np.ndarray:
        """All images × `views` views: float16 [N, V, W], memory-mapped from `path`.

        A row is marked when all its views are on disk, so an interrupted run goes on where it was.

        Raises:
            Stopped: a stop was requested; the rows done so far are kept.
        """
        count, width = len(self.keys_N), sum(self.teacher.widths)
        path.parent.mkdir(parents=True, exist_ok=True)
        done_path, manifest_path = path.with_suffix(".done.npy"), path.with_suffix(".json")
        manifest = json.dumps({"shape": [count, views, width], "seed": self.seed, "shifted": shifted})
        begun = manifest_path.is_file() and manifest_path.read_text() == manifest
        mode = "r+" if begun else "w+"
        taps = np.lib.format.open_memmap(path, mode=mode, dtype=np.float16, shape=(count, views, width))
        done = np.lib.format.open_memmap(done_path, mode=mode, dtype=np.bool_, shape=(count,))
        if not begun:
            with replaced_atomically(manifest_path) as temporary:
                temporary.write_text(manifest)
        todo = np.flatnonzero(~done)
        rows_at_once = max(1, _TEACHER_BATCH // views)
        for start in range(0, len(todo), rows_at_once):
            if stop_requested():
                raise Stopped
            rows = todo[start : start + rows_at_once]
            every_row, every_view = np.repeat(rows, views), np.tile(np.arange(views), len(rows))
            answer = self.taps(every_row, every_view, shifted=shifted)
            clipped = answer.clamp(-_FLOAT16_LARGEST, _FLOAT16_LARGEST).half().cpu().numpy()
            taps[rows] = clipped.reshape(len(rows), views, width)
            taps.flush()
            done[rows] = True
            on_progress((start + len(rows)) / len(todo))
        done.flush()
        return np.load(path, mmap_mode="r")


def clean_taps(teacher: Teacher, squares_NHWC: np.ndarray) -> Tensor:
    """Taps [N, W] of whole images as they are: uint8 [N, H, W, 3] at the teacher's own size."""
    device = teacher.mean.device
    width = sum(teacher.widths)
    answers = [torch.zeros(0, width)]
    for start in range(0, len(squares_NHWC), _TEACHER_BATCH):
        squares = torch.from_numpy(np.array(squares_NHWC[start : start + _TEACHER_BATCH])).to(device)
        images = squares.permute(0, 3, 1, 2).float().div_(255)
        answers.append(torch.cat(teacher(images), 1).cpu())
    return torch.cat(answers)
