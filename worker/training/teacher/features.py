"""The teacher's features: its taps for views of images, computed once for all jobs of a host.

N images, V views, W summed tap widths, B batch, S side of the stored square.
"""

import hashlib
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Literal

import numpy as np
import timm
import torch
from torch import Tensor

from app.domain.config import ViewConfig
from app.domain.workload import stored_side
from worker.training.data.cache import Cache, Description
from worker.training.data.decoded import Pool, decode, square_description
from worker.training.data.records import Records, RecordStore
from worker.training.data.side_by_side import Readable, SideBySide
from worker.training.data.views import SHIFT_NUMBERS, crop_matrices, cut, shift, uniform
from worker.training.models.networks import Teacher

_PIECE = 128
"""Views of one piece of work, between two looks at whether to stop."""
_AT_ONCE, _AT_ONCE_ON_CPU = 128, 16
"""Views that the teacher is shown at once. A CPU gains nothing by more of them, and what the layers of a MobileNetV2
hand on for 128 views of 224 px takes 1 GB."""
_FLOAT16_LARGEST = 65504.0
# the photometric shift has random numbers of its own: the same crop of an image must meet unrelated colours
_SHIFT_SEED = 1_000_003
_VIEWS_VERSION = 2
"""To be raised when a view of an image (`data.views`), or what is read of the teacher, becomes another."""

Kind = Literal["views", "shifted", "clean"]


@dataclass(frozen=True)
class TapSource:
    """A frozen teacher, and how views are cut for it."""

    teacher: Teacher
    digest: str
    """Of the teacher's weights."""
    config: ViewConfig
    interpolation: str
    prepare_images: Callable[[Tensor], Tensor] = field(default=lambda images_BCHW: images_BCHW)
    """What images go through in front of the teacher; see `worker.training.teacher.input_reprogramming`."""
    prepared_by: str = ""
    """Digest of its parameters."""

    @property
    def device(self) -> torch.device:
        return self.teacher.mean.device

    @property
    def width(self) -> int:
        """W"""
        return sum(self.teacher.widths)

    @property
    def side(self) -> int:
        """S of the squares that views are cut from."""
        return stored_side(self.teacher.image_size)

    def taps(self, squares_BSSC: np.ndarray, keys_B: np.ndarray, views_B: np.ndarray, *, shifted: bool) -> Tensor:
        """Taps side by side, float32 [B, W], of these views of uint8 squares, or of their domain-shifted views."""
        seed = self.config.seed
        squares = torch.from_numpy(squares_BSSC).to(self.device)
        images = cut(squares, crop_matrices(seed, keys_B, views_B, self.config), self.teacher.image_size)
        if shifted:
            numbers = uniform(seed + _SHIFT_SEED, keys_B, views_B, SHIFT_NUMBERS)
            images = shift(images, torch.from_numpy(numbers))
        return self._forward(images)

    def clean(self, squares_BSSC: np.ndarray) -> Tensor:
        """Taps [B, W] of whole images as they are: uint8 at the teacher's own size."""
        return self._forward(torch.from_numpy(squares_BSSC).to(self.device).permute(0, 3, 1, 2).float().div_(255))

    def describe(self) -> Description:
        """Everything that decides an answer but the image and the view."""
        teacher = self.teacher
        return {
            "kind": "taps",
            "version": _VIEWS_VERSION,
            "weights": self.digest,
            # options that leave no trace in the weights, such as the kind of pooling
            "network": hashlib.sha256(repr(teacher.tapped.model).encode()).hexdigest(),
            "indices": teacher.tapped.indices,
            "way": teacher.tapped.way,
            "widths": teacher.widths,
            "mean": teacher.mean.flatten().tolist(),
            "std": teacher.std.flatten().tolist(),
            "image_size": teacher.image_size,
            "execution": teacher.execution._asdict(),
            "prepared_by": self.prepared_by,
            # the last bits depend on these
            "device": self.device.type,
            "libraries": [torch.__version__, timm.__version__],
        }

    @torch.no_grad()
    def _forward(self, images_BCHW: Tensor) -> Tensor:
        return torch.cat(self.teacher(self.prepare_images(images_BCHW)), 1)


@dataclass(frozen=True)
class FeatureCache:
    """One kind of answers, kept by image: `views` views [V, W] in float16, or the clean image's taps [W] in float32."""

    source: TapSource
    store: RecordStore
    kind: Kind
    views: int

    @classmethod
    def open(cls, cache: Cache, source: TapSource, kind: Kind, views: int = 1) -> "FeatureCache":
        clean = kind == "clean"
        side = source.teacher.image_size if clean else source.side
        description = {**source.describe(), "answers": kind, "squares": square_description(side, source.interpolation)}
        if not clean:
            config = source.config
            description["views"] = {
                "count": views,
                "seed": config.seed,
                "min_scale": config.min_scale,
                "hflip": config.hflip,
            }
        shape = (source.width,) if clean else (views, source.width)
        return cls(source, cache.store(description, shape, np.float32 if clean else np.float16), kind, views)

    def missing(self, pool: Pool) -> int:
        """How many images the teacher has not answered yet."""
        return len(self.store.missing(pool.ids))

    def compute(
        self,
        pool: Pool,
        data_dir: Path,
        on_progress: Callable[[float], None] = lambda fraction: None,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> Records:
        """The answers for all images of `pool`: [N, V, W], or [N, W] for clean images.

        Only images without an answer are decoded and shown to the teacher. It is always shown as many views at once,
        at the end of the list some of them twice: a network's last bits depend on the size of a batch, though not on
        what else is in it, so an answer does not depend on what was missing.

        Raises:
            Stopped: a stop was requested; the answers so far are kept.
            OSError, app.imaging.UnreadableImage: as `data.decode`.
        """
        keys_N = pool.keys
        side = self.source.teacher.image_size if self.kind == "clean" else self.source.side
        views_at_once = _AT_ONCE_ON_CPU if self.source.device.type == "cpu" else _AT_ONCE
        at_once = max(1, views_at_once // self.views)

        def compute_rows(rows: np.ndarray) -> np.ndarray:
            squares = decode(data_dir, [pool.samples[row] for row in rows], side, self.source.interpolation)
            parts = []
            for start in range(0, len(rows), at_once):
                filled = np.minimum(np.arange(start, start + at_once), len(rows) - 1)
                parts.append(self._answer(squares[filled], keys_N[rows[filled]])[: len(rows) - start])
            return np.concatenate(parts)

        return self.store.fill(
            pool.ids,
            compute_rows,
            at_once=max(1, _PIECE // self.views // at_once) * at_once,
            on_progress=on_progress,
            stop_requested=stop_requested,
        )

    def _answer(self, squares_BSSC: np.ndarray, keys_B: np.ndarray) -> np.ndarray:
        """To all views of these images at once."""
        if self.kind == "clean":
            return self.source.clean(squares_BSSC).cpu().numpy()
        count = len(keys_B)
        every, views = np.repeat(np.arange(count), self.views), np.tile(np.arange(self.views), count)
        taps = self.source.taps(squares_BSSC[every], keys_B[every], views, shifted=self.kind == "shifted")
        half = taps.clamp(-_FLOAT16_LARGEST, _FLOAT16_LARGEST).half().cpu().numpy()
        return half.reshape(count, self.views, -1)


@dataclass(frozen=True)
class TeacherTaps:
    """Frozen teachers and their answers: float16 [N, V, W] for views, float32 [N, W] for clean images."""

    sources: Sequence[TapSource]
    """One teacher, or several, whose answers stand side by side."""
    pool: Pool
    """`Pools.training`"""
    labelled: Readable
    shifted: Readable
    """The domain-shifted views of the labelled images' first views."""
    unlabelled: Readable
    """Fewer views where the teacher answers live: stage 1 alone sees these."""
    unlabelled_shifted: Readable
    val: Readable
    judged: Readable
    squares: Sequence[Records] = ()
    """Of `pool` at each teacher's size, for live answers."""

    @classmethod
    def side_by_side(cls, each: "Sequence[TeacherTaps]") -> "TeacherTaps":
        """The answers of several as if one had given them."""
        kinds = ("labelled", "shifted", "unlabelled", "unlabelled_shifted", "val", "judged")
        return cls(
            sources=[source for taps in each for source in taps.sources],
            pool=each[0].pool,
            squares=[squares for taps in each for squares in taps.squares],
            **{kind: SideBySide([getattr(taps, kind) for taps in each]) for kind in kinds},
        )

    @property
    def name(self) -> str:
        return " + ".join(source.teacher.name for source in self.sources)

    @property
    def widths(self) -> list[int]:
        """Of each teacher's stages, shallow to deep, and of its pre-logits vector; W in all."""
        return [width for source in self.sources for width in source.teacher.widths]

    @property
    def pre_logits(self) -> list[slice]:
        """Where in W each teacher's pre-logits vector is."""
        ends = accumulate(source.width for source in self.sources)
        return [slice(end - source.teacher.widths[-1], end) for end, source in zip(ends, self.sources, strict=True)]

    @property
    def device(self) -> torch.device:
        return self.sources[0].device

    def live(self, rows_B: np.ndarray, views_B: np.ndarray, silent: Container[int] = ()) -> Tensor:
        """Taps [B, W] of these views of images of `pool`, asked for now; zeros of the `silent` teachers, by number."""
        keys_B = self.pool.keys[rows_B]
        return torch.cat(
            [
                torch.zeros(len(rows_B), source.width, device=self.device)
                if number in silent
                else source.taps(squares[rows_B], keys_B, views_B, shifted=False)
                for number, (source, squares) in enumerate(zip(self.sources, self.squares, strict=True))
            ],
            1,
        )

    def clean(self, pool: Pool, data_dir: Path, cache: Cache) -> Tensor:
        """Taps [N, W] of clean images, on the teachers' device. All at once: for some hundreds of images."""
        taps = [FeatureCache.open(cache, source, "clean").compute(pool, data_dir)[:] for source in self.sources]
        return torch.from_numpy(np.concatenate(taps, 1)).to(self.device)
