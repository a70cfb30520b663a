"""The first stage: read the index, decode every image once, build the teacher, and keep its answers.

N images, V views, W summed tap widths.
"""

from collections.abc import Callable

import torch

from app.domain.dataset import DatasetIndex, Split, evaluation_split
from app.domain.errors import InvalidSpec
from app.domain.failpoints import failpoint
from app.domain.speeds import Work
from app.domain.states import Stage
from app.domain.workload import LIVE_VIEWS, Counts, architecture_of, shifted_views, stored_side
from worker.training.data.decoded import Pool, decode_squares, square_store
from worker.training.data.pools import Images, Pools
from worker.training.data.records import Records
from worker.training.engine.autotune import tune_teacher
from worker.training.engine.eta import plan_run
from worker.training.models.networks import build_teacher
from worker.training.run import Run
from worker.training.teacher.features import FeatureCache, TapSource, TeacherTaps
from worker.training.teacher.input_reprogramming import reprogram_input

INTERPOLATION = "bilinear"
_ENOUGH = 16
"""Images of which the time is worth remembering."""


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
    teacher_pass = None if source is None else _TeacherPass(run, pools, source)
    teacher_decodes = 0 if teacher_pass is None else teacher_pass.decodes
    plan = plan_run(
        spec,
        None if source is None else source.teacher,
        run.speeds,
        Counts(
            labelled=len(pools.labelled),
            unlabelled=len(pools.unlabelled),
            val=len(pools.val),
            judged=len(pools.judged),
            decodes=decoder.count,
            teacher_views=0 if teacher_pass is None else teacher_pass.views,
        ),
        device=run.device,
        classes=len(index.classes),
        live=run.live,
        tune=run.tune,
    )
    run.reporter.plan = plan
    decoding = plan.end_of(Stage.PREPARE, "", Work.DECODE) or 0.0 if teacher_decodes else 1.0
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
    if decoder.count >= _ENOUGH:
        run.reporter.learned(Work.DECODE, run.reporter.seconds["decode"], decoder.count)
    run.reporter.event(
        "data_ready",
        f"{len(pools.labelled)} labelled and {len(pools.unlabelled)} unlabelled training images, "
        f"{len(pools.val)} for validation, {len(pools.judged)} for the final evaluation ({pools.judged_split}); "
        f"{len(index.classes)} classes.",
    )
    if teacher_pass is None:
        taps = None
    else:
        with run.reporter.timed("teacher"):
            taps = teacher_pass(squares, run.reporter.within(decoding, 1.0))
        teacher, seconds = taps.teacher, run.reporter.seconds["teacher"]
        if teacher_pass.views >= _ENOUGH:
            architecture = architecture_of(teacher.name)
            run.reporter.learned(Work.FORWARD, seconds, teacher_pass.views, architecture, teacher.image_size)
            run.reporter.learned(Work.TAP_WIDTH, taps.source.width, 1, architecture)
    run.cache.trim()
    return images, taps


def _source(run: Run, labelled: Pool, classes: int) -> TapSource | None:
    spec = run.spec
    if not spec.method_info.needs_teacher:
        return None
    assert spec.teacher is not None
    torch.manual_seed(spec.seed)  # decides the weights of a random control
    teacher = build_teacher(spec.teacher, spec.reprogram.image_size, run.runtime.models_dir).to(run.device)
    tune_teacher(teacher, run.runtime, run.out_dir, run.reporter.event)
    source = TapSource(teacher, teacher.digest(), spec.views, INTERPOLATION)
    if not spec.reprogram.input_reprogramming:
        return source
    with run.reporter.timed("input"):
        return reprogram_input(
            source, spec, labelled, classes, run.data_dir, run.cache, stop_requested=run.stop_requested
        )


def _pools(run: Run, index: DatasetIndex) -> Pools:
    labelled, val, test = (Pool.from_splits(index, split) for split in (Split.TRAIN, Split.VAL, Split.TEST))
    if len(labelled) < 2:
        raise InvalidSpec("The data set has fewer than two labelled training images.", hint="Add labelled images.")
    with_unlabelled = run.spec.distill.use_unlabelled and run.spec.method_info.learns_unlabelled
    judged_split = evaluation_split([sample.split for sample in index.samples])
    if judged_split is Split.TRAIN:
        run.reporter.event(
            "no_test_images", "There is no test or validation image; accuracies are on training images.", warning=True
        )
    return Pools(
        labelled=labelled,
        unlabelled=Pool.from_splits(index, Split.UNLABELLED) if with_unlabelled else Pool(()),
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
        student = run.spec.method_info.needs_student
        self.training = pools.training if student else nobody, stored_side(side)
        self.val = pools.val if student else nobody, side
        self.judged = pools.judged if student else nobody, side
        self.live = (pools.training, source.side) if source is not None and student and run.live else None
        wanted = [self.training, self.val, self.judged, *([self.live] if self.live else [])]
        self.count = sum(self._missing(*one) for one in wanted)
        """Images that no job has decoded at this size yet."""
        self._done = 0

    def __call__(self, pool: Pool, side: int) -> Records:
        failpoint("data_loading")
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


class _TeacherPass:
    """Asks the teacher for all that stage 1 and, unless it answers live, stage 2 will want."""

    def __init__(self, run: Run, pools: Pools, source: TapSource) -> None:
        self.run, self.pools, self.source = run, pools, source
        count = run.spec.views.count
        views = FeatureCache.open(run.cache, source, "views", count)

        def shifted(pool: Pool) -> tuple[FeatureCache, Pool]:
            return FeatureCache.open(run.cache, source, "shifted", shifted_views(len(pool), count)), pool

        fewer = FeatureCache.open(run.cache, source, "views", min(LIVE_VIEWS, count))
        clean = FeatureCache.open(run.cache, source, "clean")
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

            records.append(answers.compute(pool, self.run.data_dir, told, self.run.stop_requested))
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
