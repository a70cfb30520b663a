"""What a job has to do, counted in units of work: how long it takes follows from that and from the machine's speeds."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from app.domain.spec import TrainingSpec
from app.domain.speeds import NOTHING, Range, Speeds, Way, Work
from app.domain.states import Stage

EVALUATIONS = 20
"""Of the student while it learns."""
AGREEMENT_IMAGES = 512
"""By so many it is judged where there are no validation images."""


SMALL_BATCH = 64
"""So many images a batch may have in any case. Of fewer training images it shows some several times, each time cut
anew: one image a batch less would be one step more for the same budget, and a step costs more than an image."""
HEAD_STEPS_A_VIEW, MOST_HEAD_VIEWS = 8, 20_000
"""Before a pretrained student learns as a whole, it answers one view for so many image steps of the budget, and no more
than memory holds: answering costs a third of a step."""
STORED_MARGIN = 1.15
"""Stored squares are this much larger than the views cut from them: crops are sharp, and sampling needs no filter."""
PROBE, REPROGRAMMED = "probe", "reprogrammed"
"""What stage 1 trains."""
LIVE_VIEWS = 4
"""Views of an unlabelled image that stage 1 sees where the teacher answers live in stage 2."""
SHIFTED_VIEWS, SHIFTED_VIEWS_OF_AN_IMAGE = 4096, 4
"""Domain-shifted views that stage 1 wants of its labelled images, and the most of one. They cost the teacher as much
time as views: where many images are labelled one of each does, and of an unlabelled one (benchmarks, "Views")."""


class Counts(NamedTuple):
    """What the data set gives a job to do."""

    labelled: int
    unlabelled: int
    """0 where the method does not use them."""
    val: int
    judged: int
    decodes: int
    """Images that must be decoded, once a size."""

    @property
    def training(self) -> int:
        return self.labelled + self.unlabelled


class Asked(NamedTuple):
    """A teacher that the job asks."""

    architecture: str
    side: int
    """Of its views, in pixels."""
    views: int
    """That it must be asked about before stage 2."""


class Piece(NamedTuple):
    """Some work of a stage."""

    stage: Stage
    work: Work
    units: float
    subject: str = ""
    size: int = 0
    how: str = ""
    part: str = ""
    """Whose: the student's name, where there are several."""


def training_way(spec: TrainingSpec, training: int) -> str:
    """How a job on so many training images trains, as far as its speed and its memory depend on it."""
    return str(Way(spec.method, spec.distill.optimiser, images_a_step(spec, training)))


def images_a_step(spec: TrainingSpec, training: int) -> int:
    """Of stage 2: what the job asks for, as far as there are so many training images."""
    return min(spec.distill.batch_size, max(training, SMALL_BATCH))


def head_views(spec: TrainingSpec) -> int:
    """Views that a pretrained student answers before it learns as a whole."""
    if not (spec.may_start_pretrained and spec.distill.head_first):
        return 0
    return min(MOST_HEAD_VIEWS, spec.distill.image_steps // HEAD_STEPS_A_VIEW)


def rounds(spec: TrainingSpec, counts: Counts) -> int:
    """Of the reprogrammer: the first, and those of self-training."""
    return 1 + (spec.reprogram.self_training if counts.unlabelled else 0)


def adaptations(spec: TrainingSpec, teachers: int) -> int:
    """How often stage 1 trains: of several teachers once for each, and once for all together. A method that learns from
    a probe wants that of all alone."""
    return teachers + 1 if teachers > 1 and spec.method_info.reprograms else 1


def shifted_views(labelled: int, views: int) -> int:
    """How many of a labelled image's views get a domain-shifted view; of an unlabelled one's it is the first alone."""
    return max(1, min(SHIFTED_VIEWS // max(1, labelled), SHIFTED_VIEWS_OF_AN_IMAGE, views))


def stored_side(view_side: int) -> int:
    """S of the squares that are kept of images, for views of `view_side` pixels."""
    return math.ceil(view_side * STORED_MARGIN)


def views_of_teacher(spec: TrainingSpec, counts: Counts, *, live: bool) -> int:
    """All that each is asked about before stage 2, where no other job has asked before."""
    return views_of_training(spec, counts, live=live) + counts.val + counts.judged


def views_of_training(spec: TrainingSpec, counts: Counts, *, live: bool) -> int:
    """Those of training images, domain-shifted ones too."""
    views = spec.views.count
    of_unlabelled = min(LIVE_VIEWS, views) if live else views
    return counts.labelled * (views + shifted_views(counts.labelled, views)) + counts.unlabelled * (of_unlabelled + 1)


def architecture_of(name: str) -> str:
    """Behind the dot stands which weights it begins with."""
    return name.partition(".")[0]


def pieces(
    spec: TrainingSpec, counts: Counts, *, teachers: Sequence[Asked] = (), live: bool = False
) -> Iterator[Piece]:
    """All work of a job, in its order.

    Args:
        teachers: none for a method that needs none.
        live: whether they answer during stage 2.
    """
    size, several = spec.image_size, spec.students is not None
    yield Piece(Stage.PREPARE, Work.START, 1)
    yield Piece(Stage.PREPARE, Work.DECODE, counts.decodes)
    for teacher in teachers:
        yield Piece(Stage.PREPARE, Work.FORWARD, teacher.views, teacher.architecture, teacher.side)
    if teachers:
        steps = spec.reprogram.steps * adaptations(spec, len(teachers))
        yield Piece(Stage.REPROGRAM, Work.REPROGRAM, steps, PROBE)
        if spec.method_info.reprograms:
            yield Piece(Stage.REPROGRAM, Work.REPROGRAM, rounds(spec, counts) * steps, REPROGRAMMED)
    judged_by = counts.val or (min(AGREEMENT_IMAGES, counts.training) if teachers else 0)
    parts = [(name, name if several else "") for name in spec.every_student]
    for name, part in parts:
        network = architecture_of(name), size
        steps = spec.distill.image_steps
        yield Piece(Stage.DISTILL, Work.TRAIN, steps, *network, training_way(spec, counts.training), part)
        answered = EVALUATIONS * judged_by + head_views(spec)
        yield Piece(Stage.DISTILL, Work.FORWARD, answered, *network, "", part)
        for teacher in teachers if live else ():
            yield Piece(Stage.DISTILL, Work.FORWARD, steps, teacher.architecture, teacher.side, "", part)
    for _, part in parts:
        yield Piece(Stage.EVALUATE, Work.EVALUATE, counts.judged, part=part)
    for _, part in parts:
        for chosen in spec.export.formats:
            yield Piece(Stage.EXPORT, Work.EXPORT, 1, str(chosen), part=part)
        if spec.export.measure:
            for chosen in spec.export.formats:
                yield Piece(Stage.EXPORT, Work.TIME, 1, str(chosen), part=part)
    yield Piece(Stage.EXPORT, Work.DESCRIBE, max(1, len(parts)))
    yield Piece(Stage.EXPORT, Work.PUBLISH, max(1, len(parts)))


def cost(piece: Piece, speeds: Speeds) -> Range | None:
    """Of a piece; None where the machine has not measured anything like it."""
    if piece.units <= 0:
        return NOTHING
    if piece.work is Work.TRAIN:
        unit = speeds.of_training(piece.subject, piece.size, piece.how)
    elif piece.size:
        unit = speeds.of_network(piece.work, piece.subject, piece.size)
    else:
        unit = speeds.exactly(piece.work, piece.subject)
    return None if unit is None else unit.times(piece.units)


class StageCost(NamedTuple):
    """How long a stage takes; None where it is not known, and then why not."""

    seconds: Range | None
    unknown: str = ""


def stage_costs(work: Iterator[Piece], speeds: Speeds) -> Mapping[Stage, StageCost]:
    """Of the stages that have something to do."""
    found: dict[Stage, StageCost] = {}
    for piece in work:
        before = found.get(piece.stage, StageCost(NOTHING))
        more = cost(piece, speeds)
        if more is None and piece.work is Work.PUBLISH:
            more = NOTHING  # a copy of some files: the first job that ends tells how long it takes
        if before.seconds is None:
            continue
        if more is None:
            of = f" of '{piece.subject}'" if piece.subject else ""
            at = f" at {piece.size} px" if piece.size else ""
            found[piece.stage] = StageCost(None, f"no worker has measured '{piece.work}'{of}{at} yet")
        else:
            found[piece.stage] = StageCost(before.seconds.plus(more))
    return found
