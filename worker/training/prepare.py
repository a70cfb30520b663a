"""The first stage: read the index, decode every image once, build the teachers, and keep their answers.

N images, V views, W summed tap widths.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

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


def prepare(run: Run, index: DatasetIndex) -> tuple[Images, list[TeacherTaps]]:
    """Decode and ask, as far as no job of this host has done it before. Without a teacher nobody is asked.

    Raises:
        InvalidSpec: the data set has nothing to train on.
        WeightsUnavailable, ModelNotBuildable: a teacher or the student cannot be had.
        Stopped: a stop was requested; what is done is kept.
    """
    run.reporter.begin(Stage.PREPARE)
    pools = _pools(run, index)
    sources = _sources(run, pools.labelled, len(index.classes))
    decoder = _Decoder(run, pools, sources)
    passes = [_TeacherPass(run, pools, source) for source in sources]
    plan = plan_run(
        run.spec,
        [(each.source.teacher, each.views) for each in passes],
        run.speeds,
        Counts(
            labelled=len(pools.labelled),
            unlabelled=len(pools.unlabelled),
            val=len(pools.val),
            judged=len(pools.judged),
            decodes=decoder.count,
        ),
        device=run.device,
        classes=len(index.classes),
        live=run.live,
        tune=run.tune,
    )
    run.reporter.plan = plan
    decoding = plan.end_of(Stage.PREPARE, "", Work.DECODE) or 0.0 if any(each.views for each in passes) else 1.0
    decoder.progress = run.reporter.within(0.0, decoding)
    with run.reporter.timed("decode"):
        images = Images(
            index=index,
            pools=pools,
            squares=decoder(*decoder.training),
            val_squares=decoder(*decoder.val),
            judged_squares=decoder(*decoder.judged),
        )
        squares = {side: decoder(pools.training, side) for side in decoder.live}
    if decoder.count >= _ENOUGH:
        run.reporter.learned(Work.DECODE, run.reporter.seconds["decode"], decoder.count)
    run.reporter.event(
        "data_ready",
        f"{len(pools.labelled)} labelled and {len(pools.unlabelled)} unlabelled training images, "
        f"{len(pools.val)} for validation, {len(pools.judged)} for the final evaluation ({pools.judged_split}); "
        f"{len(index.classes)} classes.",
    )
    taps = []
    spans = pairwise([decoding, *plan.ends_of(Stage.PREPARE, "", Work.FORWARD)])
    for teacher_pass, span in zip(passes, spans, strict=True):
        before = run.reporter.seconds.get("teacher", 0.0)
        with run.reporter.timed("teacher"):
            taps.append(teacher_pass(squares, run.reporter.within(*span)))
        if teacher_pass.views >= _ENOUGH:
            teacher, seconds = teacher_pass.source.teacher, run.reporter.seconds["teacher"] - before
            architecture = architecture_of(teacher.name)
            run.reporter.learned(Work.FORWARD, seconds, teacher_pass.views, architecture, teacher.image_size)
            run.reporter.learned(Work.TAP_WIDTH, teacher_pass.source.width, 1, architecture)
    run.cache.trim()
    return images, taps


def _sources(run: Run, labelled: Pool, classes: int) -> list[TapSource]:
    """Of each teacher; none for a method without one."""
    spec, sources = run.spec, []
    for name in spec.every_teacher if spec.method_info.needs_teacher else ():
        torch.manual_seed(spec.seed)  # decides the weights of a random control
        teacher = build_teacher(name, spec.reprogram.image_size, run.runtime.models_dir).to(run.device)
        tune_teacher(teacher, run.runtime, run.out_dir, run.reporter.event)
        source = TapSource(teacher, teacher.digest(), spec.views, INTERPOLATION)
        if spec.reprogram.input_reprogramming:
            with run.reporter.timed("input"):
                source = reprogram_input(
                    source, spec, labelled, classes, run.data_dir, run.cache, stop_requested=run.stop_requested
                )
        sources.append(source)
    return sources


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

    def __init__(self, run: Run, pools: Pools, sources: Sequence[TapSource]) -> None:
        self.run = run
        self.progress: Callable[[float], None] = lambda fraction: None
        side, nobody = run.spec.image_size, Pool(())
        student = run.spec.method_info.needs_student
        self.training = pools.training if student else nobody, stored_side(side)
        self.val = pools.val if student else nobody, side
        self.judged = pools.judged if student else nobody, side
        self.live = sorted({source.side for source in sources}) if student and run.live else []
        """Sides of the training images that live answers need."""
        wanted = [self.training, self.val, self.judged, *((pools.training, live) for live in self.live)]
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

        def shifted(pool: Pool, of_each: int) -> tuple[FeatureCache, Pool]:
            return FeatureCache.open(run.cache, source, "shifted", of_each), pool

        fewer = FeatureCache.open(run.cache, source, "views", min(LIVE_VIEWS, count))
        clean = FeatureCache.open(run.cache, source, "clean")
        self._wanted = [
            (views, pools.labelled),
            shifted(pools.labelled, shifted_views(len(pools.labelled), count)),
            (fewer if run.live else views, pools.unlabelled),
            shifted(pools.unlabelled, 1),
            (clean, pools.val),
            (clean, pools.judged),
        ]
        missing = [(answers.missing(pool), answers.views) for answers, pool in self._wanted]
        self._work = [images * views for images, views in missing]
        self.views = sum(self._work)
        """Views that the teacher must still be asked for."""

    def __call__(self, squares: Mapping[int, Records], progress: Callable[[float], None]) -> TeacherTaps:
        """`squares` of the training images by their side, for live answers."""
        records: list[Records] = []
        for number, (answers, pool) in enumerate(self._wanted):
            before, work = sum(self._work[:number]), self._work[number]

            def told(fraction: float, before: int = before, work: int = work) -> None:
                progress((before + fraction * work) / self.views)

            records.append(answers.compute(pool, self.run.data_dir, told, self.run.stop_requested))
        labelled, shifted, unlabelled, unlabelled_shifted, val, judged = records
        return TeacherTaps(
            sources=[self.source],
            pool=self.pools.training,
            labelled=labelled,
            shifted=shifted,
            unlabelled=unlabelled,
            unlabelled_shifted=unlabelled_shifted,
            val=val,
            judged=judged,
            squares=[squares[self.source.side]] if squares else [],
        )
