"""The first stage: read the index, decode every image once, build the teacher, and keep its answers.

N images, V views, W summed tap widths.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from app.domain.dataset import DatasetIndex, Split
from app.domain.errors import InvalidSpec
from app.domain.spec import Method, TrainingSpec
from app.domain.states import Stage
from worker.training.data import Pool, decode_squares, stored_side
from worker.training.evaluate import evaluation_split
from worker.training.features import TapSource
from worker.training.models import Teacher, build_teacher
from worker.training.pace import expected_seconds
from worker.training.report import Reporter

INTERPOLATION = "bilinear"
SHIFTED_VIEWS = 8
"""Shifted twins per image: stage 1 needs many views, but not a twin of each."""
_DECODING_SHARE = 0.1


@dataclass(frozen=True)
class Run:
    """What every stage needs to know."""

    spec: TrainingSpec
    data_dir: Path
    out_dir: Path
    device: torch.device
    reporter: Reporter
    stop_requested: Callable[[], bool]

    @property
    def cache_dir(self) -> Path:
        return self.out_dir / "cache"

    @property
    def live(self) -> bool:
        """Whether the teacher answers during stage 2 instead of before it."""
        mode = self.spec.views.mode
        return mode == "live" or (mode == "auto" and self.device.type == "cuda")


@dataclass(frozen=True)
class Pools:
    """Which images serve what. Train, validation and test never mix."""

    labelled: Pool
    training: Pool
    """The labelled images, then the unlabelled ones where they are used."""
    val: Pool
    judged: Pool
    """The images of the final evaluation: test, or val where there is no test."""
    judged_split: Split

    @property
    def count(self) -> int:
        return len(self.training) + len(self.val) + len(self.judged)


@dataclass(frozen=True)
class Images:
    """The pools, decoded at the student's size."""

    index: DatasetIndex
    pools: Pools
    squares: np.ndarray
    """Of `pools.training`: uint8 [N, S, S, 3], a little over the student's size."""
    val_squares: np.ndarray
    judged_squares: np.ndarray
    """At exactly the student's size, by the preprocessing that users are told."""


@dataclass(frozen=True)
class TeacherTaps:
    """The frozen teacher and its answers, float16 [N, V, W]."""

    teacher: Teacher
    digest: str
    source: TapSource
    """Over `Pools.training`, for live answers."""
    labelled: np.ndarray
    shifted: np.ndarray
    unlabelled: np.ndarray | None
    val_squares: np.ndarray
    """Clean images at the teacher's size."""
    judged_squares: np.ndarray


def prepare(run: Run, index: DatasetIndex) -> tuple[Images, TeacherTaps | None]:
    """Decode and ask.

    Raises:
        InvalidSpec: the data set has nothing to train on.
        WeightsUnavailable, ModelNotBuildable: the teacher or the student cannot be had.
    """
    run.reporter.begin(Stage.PREPARE)
    spec = run.spec
    pools = _pools(run, index)
    teacher = None
    if spec.method is not Method.SCRATCH:
        assert spec.teacher is not None
        torch.manual_seed(spec.seed)  # decides the weights of a random control
        teacher = build_teacher(spec.teacher, spec.reprogram.image_size).to(run.device)
    plan = _ViewPlan.of(run, pools)
    sizes = 1 if teacher is None else 2
    run.reporter.expected = expected_seconds(
        spec,
        teacher,
        device=run.device,
        classes=len(index.classes),
        decodes=sizes * pools.count,
        teacher_views=sum(plan.work),
        live=run.live,
    )
    decoding = _DECODING_SHARE if teacher is not None else 1.0
    decode = _Decoder(run, total=sizes * pools.count, share=(0.0, decoding))
    images = Images(
        index=index,
        pools=pools,
        squares=decode("student_train", pools.training, stored_side(spec.image_size)),
        val_squares=decode("student_val", pools.val, spec.image_size),
        judged_squares=decode("student_judged", pools.judged, spec.image_size),
    )
    run.reporter.event(
        "data_ready",
        f"{len(pools.labelled)} labelled and {len(pools.training) - len(pools.labelled)} unlabelled training images, "
        f"{len(pools.val)} for validation, {len(pools.judged)} for the final evaluation ({pools.judged_split}); "
        f"{len(index.classes)} classes.",
    )
    return images, None if teacher is None else _ask(run, pools, teacher, plan, decode, (decoding, 1.0))


def _pools(run: Run, index: DatasetIndex) -> Pools:
    labelled, val, test = (Pool.of(index, split) for split in (Split.TRAIN, Split.VAL, Split.TEST))
    if len(labelled) < 2:
        raise InvalidSpec("The data set has fewer than two labelled training images.", hint="Add labelled images.")
    # scratch learns from labels alone, so unlabelled images would only cost it image steps
    with_unlabelled = run.spec.distill.use_unlabelled and run.spec.method is not Method.SCRATCH
    judged_split = evaluation_split([sample.split for sample in index.samples])
    if judged_split is Split.TRAIN:
        run.reporter.event(
            "no_test_images", "There is no test or validation image; accuracies are on training images.", warning=True
        )
    return Pools(
        labelled=labelled,
        training=Pool.of(index, Split.TRAIN, Split.UNLABELLED) if with_unlabelled else labelled,
        val=val,
        judged={Split.TEST: test, Split.VAL: val, Split.TRAIN: labelled}[judged_split],
        judged_split=judged_split,
    )


@dataclass(frozen=True)
class _ViewPlan:
    """How many views of each image the teacher answers before stage 2."""

    views: int
    shifted_views: int
    unlabelled_views: int
    work: tuple[int, int, int]
    """Views in all: labelled, shifted twins, unlabelled."""

    @classmethod
    def of(cls, run: Run, pools: Pools) -> "_ViewPlan":
        views = run.spec.views.count
        shifted = min(SHIFTED_VIEWS, views)
        # live answers come during stage 2, but the statistics of stage 1 need one view of each unlabelled image
        unlabelled = 1 if run.live else views
        if run.spec.method is Method.SCRATCH:
            return cls(0, 0, 0, (0, 0, 0))
        labelled_count = len(pools.labelled)
        work = (labelled_count * views, labelled_count * shifted, (len(pools.training) - labelled_count) * unlabelled)
        return cls(views, shifted, unlabelled, work)


def _ask(
    run: Run, pools: Pools, teacher: Teacher, plan: _ViewPlan, decode: "_Decoder", share: tuple[float, float]
) -> TeacherTaps:
    digest = teacher.digest()
    side = teacher.image_size
    squares = decode("teacher_train", pools.training, stored_side(side))
    val_squares = decode("teacher_val", pools.val, side)
    judged_squares = decode("teacher_judged", pools.judged, side)
    source = TapSource(teacher, squares, pools.training.keys, run.spec.views, run.spec.seed)
    count = len(pools.labelled)
    labelled, unlabelled = source.part(slice(0, count)), source.part(slice(count, None))
    bounds = share[0] + (share[1] - share[0]) * np.cumsum([0, *plan.work]) / sum(plan.work)

    def cached(part: TapSource, name: str, number: int, views: int, *, shifted: bool = False) -> np.ndarray:
        return part.cached(
            run.cache_dir / f"taps_{name}.npy",
            views,
            shifted=shifted,
            on_progress=run.reporter.within(float(bounds[number]), float(bounds[number + 1])),
            stop_requested=run.stop_requested,
        )

    return TeacherTaps(
        teacher=teacher,
        digest=digest,
        source=source,
        labelled=cached(labelled, "labelled", 0, plan.views),
        shifted=cached(labelled, "shifted", 1, plan.shifted_views, shifted=True),
        unlabelled=cached(unlabelled, "unlabelled", 2, plan.unlabelled_views) if len(unlabelled.keys_N) else None,
        val_squares=val_squares,
        judged_squares=judged_squares,
    )


class _Decoder:
    """Decodes pools one after another and reports their common progress within `share` of the stage."""

    def __init__(self, run: Run, total: int, share: tuple[float, float]) -> None:
        self.run = run
        self.total = total
        self.done = 0
        self.progress = run.reporter.within(*share)

    def __call__(self, name: str, pool: Pool, side: int) -> np.ndarray:
        before = self.done
        self.done += len(pool)
        return decode_squares(
            self.run.data_dir,
            pool,
            side,
            INTERPOLATION,
            self.run.cache_dir / f"squares_{name}.npy",
            lambda fraction: self.progress((before + fraction * len(pool)) / self.total),
        )
