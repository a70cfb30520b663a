"""The first stage: read the index, decode every image once, build the teacher, and keep its answers.

N images, V views, W summed tap widths.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from app.domain.dataset import DatasetIndex, Split
from app.domain.errors import InvalidSpec
from app.domain.faults import fault_point
from app.domain.spec import TrainingSpec
from app.domain.states import Stage
from worker.training.cache import Cache
from worker.training.data import Pool, decode_squares, square_store, stored_side
from worker.training.evaluate import evaluation_split
from worker.training.fast import settle_muon, settle_student, settle_teacher
from worker.training.features import Answers, TapSource, twins
from worker.training.input_reprogram import reprogram_input
from worker.training.models import Student, Teacher, build_teacher
from worker.training.pace import expected_seconds
from worker.training.records import Records
from worker.training.report import Reporter

INTERPOLATION = "bilinear"
LIVE_VIEWS = 4
"""Views of an unlabelled image that stage 1 sees where the teacher answers live in stage 2."""
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

    @cached_property
    def cache(self) -> Cache:
        """What jobs of this host share; the run's own where the environment names no folder."""
        return Cache.of_environment(self.out_dir / "cache", self.reporter.event)

    @property
    def live(self) -> bool:
        """Whether the teacher answers during stage 2 instead of before it."""
        mode = self.spec.views.mode
        return mode == "live" or (mode == "auto" and self.device.type == "cuda")

    def settle_student(self, student: Student) -> Student:
        """Let it compute the fastest way that this machine has for it."""
        return settle_student(student, self.spec.distill.batch_size, self.out_dir, self.reporter.event)

    def settle_optimiser(self) -> None:
        """Let stage 2's optimiser compute the fastest way that this machine has for it."""
        if self.spec.distill.optimiser == "muon":
            settle_muon(self.device, self.out_dir, self.reporter.event)


@dataclass(frozen=True)
class Pools:
    """Which images serve what. Train, validation and test never mix."""

    labelled: Pool
    unlabelled: Pool
    val: Pool
    judged: Pool
    """The images of the final evaluation: test, or val where there is no test."""
    judged_split: Split

    @cached_property
    def training(self) -> Pool:
        """The labelled images, then the unlabelled ones where they are used."""
        return Pool(self.labelled.samples + self.unlabelled.samples)


@dataclass(frozen=True)
class Images:
    """The pools, decoded at the student's size; nothing but names where no student is trained."""

    index: DatasetIndex
    pools: Pools
    squares: Records
    """Of `pools.training`: uint8 [N, S, S, 3], a little over the student's size."""
    val_squares: Any
    """`Records` too, which evaluation and export read like an array: a few rows at a time."""
    judged_squares: Any
    """At exactly the student's size, by the preprocessing that users are told."""


@dataclass(frozen=True)
class TeacherTaps:
    """The frozen teacher and its answers: float16 [N, V, W] for views, float32 [N, W] for clean images."""

    source: TapSource
    pool: Pool
    """`Pools.training`"""
    labelled: Records
    shifted: Records
    """The domain-shifted twins of the labelled images' first views."""
    unlabelled: Records
    """Fewer views where the teacher answers live: stage 1 alone sees these."""
    unlabelled_shifted: Records
    val: Records
    judged: Records
    squares: Records | None
    """Of `pool` at the teacher's size, for live answers."""

    @property
    def teacher(self) -> Teacher:
        return self.source.teacher

    @property
    def digest(self) -> str:
        return self.source.digest

    def clean(self, run: Run, pool: Pool) -> torch.Tensor:
        """Taps [N, W] of clean images, on the run's device. All at once: for some hundreds of images."""
        taps = Answers.of(run.cache, self.source, "clean").ask(pool, run.data_dir)[:]
        return torch.from_numpy(taps).to(run.device)


def prepare(run: Run, index: DatasetIndex) -> tuple[Images, TeacherTaps | None]:
    """Decode and ask, as far as no job of this host has done it before.

    Raises:
        InvalidSpec: the data set has nothing to train on.
        WeightsUnavailable, ModelNotBuildable: the teacher or the student cannot be had.
        Stopped: a stop was requested; what is done is kept.
    """
    run.reporter.begin(Stage.PREPARE)
    spec = run.spec
    pools = _pools(run, index)
    source = _source(run, pools.labelled, len(index.classes))
    decoder = _Decoder(run, pools, source)
    asker = None if source is None else _Asker(run, pools, source)
    asks = 0 if asker is None else asker.decodes
    run.reporter.expected = expected_seconds(
        spec,
        None if source is None else source.teacher,
        device=run.device,
        classes=len(index.classes),
        decodes=decoder.count + asks,
        teacher_views=0 if asker is None else asker.views,
        live=run.live,
        settle=run.settle_student,
    )
    decoding = _DECODING_SHARE if asks else 1.0
    decoder.progress = run.reporter.within(0.0, decoding)
    with run.reporter.timed("decode"):
        images = Images(
            index=index,
            pools=pools,
            squares=decoder(*decoder.training),
            val_squares=decoder(*decoder.val),
            judged_squares=decoder(*decoder.judged),
        )
        squares = None if decoder.live is None else decoder(*decoder.live)
    run.reporter.event(
        "data_ready",
        f"{len(pools.labelled)} labelled and {len(pools.unlabelled)} unlabelled training images, "
        f"{len(pools.val)} for validation, {len(pools.judged)} for the final evaluation ({pools.judged_split}); "
        f"{len(index.classes)} classes.",
    )
    if asker is None:
        taps = None
    else:
        with run.reporter.timed("teacher"):
            taps = asker(squares, run.reporter.within(decoding, 1.0))
    run.cache.trim()
    return images, taps


def _source(run: Run, labelled: Pool, classes: int) -> TapSource | None:
    spec = run.spec
    if not spec.method.needs_teacher:
        return None
    assert spec.teacher is not None
    torch.manual_seed(spec.seed)  # decides the weights of a random control
    teacher = build_teacher(spec.teacher, spec.reprogram.image_size).to(run.device)
    settle_teacher(teacher, run.out_dir, run.reporter.event)
    source = TapSource(teacher, teacher.digest(), spec.views, INTERPOLATION)
    if not spec.reprogram.input_reprogramming:
        return source
    with run.reporter.timed("input"):
        return reprogram_input(
            source, spec, labelled, classes, run.data_dir, run.cache, stop_requested=run.stop_requested
        )


def _pools(run: Run, index: DatasetIndex) -> Pools:
    labelled, val, test = (Pool.of(index, split) for split in (Split.TRAIN, Split.VAL, Split.TEST))
    if len(labelled) < 2:
        raise InvalidSpec("The data set has fewer than two labelled training images.", hint="Add labelled images.")
    # who learns from labels alone would only lose image steps to unlabelled images
    with_unlabelled = run.spec.distill.use_unlabelled and run.spec.method.needs_teacher
    judged_split = evaluation_split([sample.split for sample in index.samples])
    if judged_split is Split.TRAIN:
        run.reporter.event(
            "no_test_images", "There is no test or validation image; accuracies are on training images.", warning=True
        )
    return Pools(
        labelled=labelled,
        unlabelled=Pool.of(index, Split.UNLABELLED) if with_unlabelled else Pool(()),
        val=val,
        judged={Split.TEST: test, Split.VAL: val, Split.TRAIN: labelled}[judged_split],
        judged_split=judged_split,
    )


class _Decoder:
    """Decodes pools one after another and reports their common progress."""

    def __init__(self, run: Run, pools: Pools, source: TapSource | None) -> None:
        self.run = run
        self.progress: Callable[[float], None] = lambda fraction: None
        side, nobody = run.spec.image_size, Pool(())
        student = run.spec.method.needs_student
        self.training = pools.training if student else nobody, stored_side(side)
        self.val = pools.val if student else nobody, side
        self.judged = pools.judged if student else nobody, side
        self.live = (pools.training, source.side) if source is not None and student and run.live else None
        wanted = [self.training, self.val, self.judged, *([self.live] if self.live else [])]
        self.count = sum(self._missing(*one) for one in wanted)
        """Images that no job has decoded at this size yet."""
        self._done = 0

    def __call__(self, pool: Pool, side: int) -> Records:
        fault_point("data_loading")
        before, missing = self._done, self._missing(pool, side)
        self._done += missing
        return decode_squares(
            self.run.data_dir,
            pool,
            side,
            INTERPOLATION,
            self.run.cache,
            lambda fraction: self.progress((before + fraction * missing) / self.count),
            self.run.stop_requested,
        )

    def _missing(self, pool: Pool, side: int) -> int:
        return len(square_store(self.run.cache, side, INTERPOLATION).missing(pool.ids))


class _Asker:
    """Asks the teacher for all that stage 1 and, unless it answers live, stage 2 will want."""

    def __init__(self, run: Run, pools: Pools, source: TapSource) -> None:
        self.run, self.pools, self.source = run, pools, source
        count = run.spec.views.count
        views = Answers.of(run.cache, source, "views", count)

        def shifted(pool: Pool) -> tuple[Answers, Pool]:
            return Answers.of(run.cache, source, "shifted", twins(len(pool), count)), pool

        fewer = Answers.of(run.cache, source, "views", min(LIVE_VIEWS, count))
        clean = Answers.of(run.cache, source, "clean")
        self._wanted = [
            (views, pools.labelled),
            shifted(pools.labelled),
            (fewer if run.live else views, pools.unlabelled),
            shifted(pools.unlabelled),
            (clean, pools.val),
            (clean, pools.judged),
        ]
        missing = [(answers.missing(pool), answers.views) for answers, pool in self._wanted]
        self.decodes = sum(images for images, _ in missing)
        """Images that must be decoded at the teacher's size, each time they are."""
        self._work = [images * views for images, views in missing]
        self.views = sum(self._work)
        """Views that the teacher must still be asked for."""

    def __call__(self, squares: Records | None, progress: Callable[[float], None]) -> TeacherTaps:
        records: list[Records] = []
        for number, (answers, pool) in enumerate(self._wanted):
            before, work = sum(self._work[:number]), self._work[number]

            def told(fraction: float, before: int = before, work: int = work) -> None:
                progress((before + fraction * work) / self.views)

            records.append(answers.ask(pool, self.run.data_dir, told, self.run.stop_requested))
        labelled, shifted, unlabelled, unlabelled_shifted, val, judged = records
        return TeacherTaps(
            source=self.source,
            pool=self.pools.training,
            labelled=labelled,
            shifted=shifted,
            unlabelled=unlabelled,
            unlabelled_shifted=unlabelled_shifted,
            val=val,
            judged=judged,
            squares=squares,
        )
