"""How good a student is, beside what it learned from: `evaluation.json`, a file of a job.

What has a default here came later than the file itself: an evaluation written before lacks it.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, Field

from app.domain.base import Frozen
from app.domain.dataset import Split

EVALUATION_NAME = "evaluation.json"
BINS = 15
"""Of the expected calibration error (Guo et al., 2017)."""
IMAGES_PER_CELL = 8
"""Images listed behind one cell of the confusion matrix, those first about which its predictor was surest."""
LISTED_IMAGES = 2_000
"""Images listed behind all cells together, some 400 kB of JSON. Where there are more, every cell gets its first image
before any gets its second, and confusions come before right answers."""

LISTED_CELLS = 10_000
"""Cells that are listed, a megabyte or two of JSON; there may be as many as images."""
MATRIX_CLASSES = 500
"""With more classes there is no confusion matrix, whose size is their square: of 10,000 it had 200 MB. What the service
shows of an evaluation lists so many classes, too; the file has the scores of all."""

Interval = tuple[float, float]
"""95 %, lower and upper end."""


class _Stored(Frozen):
    """Sent as some worker wrote it, so that what has a default may be missing."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)


class ClassScore(_Stored):
    """One class against the rest. A ratio without a denominator is 0, as usual; `support` and `predicted` tell."""

    name: str
    """Of the class."""
    precision: float
    """Of the images that were taken for this class, the part that is of it."""
    recall: float
    """Of the images of this class, the part that was taken for it."""
    f1: float
    """Harmonic mean of the two."""
    support: int
    """Images of this class."""
    predicted: int | None = None
    """Images that were taken for it."""
    precision_interval: Interval | None = None
    """Wilson's; None without a denominator."""
    recall_interval: Interval | None = None
    """Wilson's; None without a denominator."""


class ReliabilityBin(_Stored):
    """The images whose top probability lies in (low, high]."""

    low: float
    """Lower end of the bin, which does not belong to it."""
    high: float
    """Upper end of the bin, which belongs to it."""
    images: int
    """How many images lie in it."""
    confidence: float | None
    """Mean top probability; None without images."""
    accuracy: float | None
    """The part that was right; of a well calibrated predictor it equals `confidence`."""
    accuracy_interval: Interval | None
    """Wilson's."""


class Calibration(_Stored):
    """How far the softmax can be taken at its word."""

    ece: float
    """Expected calibration error, 15 equal bins of the top confidence; 0 is best."""
    nll: float
    """Mean negative log-likelihood of the true class, in nats."""
    brier: float
    """Mean over images of the squared distance between the probabilities and the truth, summed over classes: 0..2."""
    bins: tuple[ReliabilityBin, ...] = ()
    """Those behind `ece`: the mean of |accuracy − confidence|, weighted by images."""


class PredictorScores(_Stored):
    """One predictor on one split."""

    top1: float
    """The part of the images whose most probable class is right."""
    top1_interval: Interval
    """Wilson's 95 % interval for `top1`, from the number of images alone: training another seed may vary more."""
    top5: float | None
    """The part of the images with the right class among the five most probable. None with five classes or fewer."""
    top5_interval: Interval | None = None
    """Wilson's, where there is a `top5`."""
    macro_f1: float
    """Mean F1 over the classes that have images."""
    per_class: tuple[ClassScore, ...]
    """In the order of the classes."""
    confusion: tuple[tuple[int, ...], ...] | None
    """Rows are the truth, columns the prediction. None with more than 500 classes; `cells` has what is not 0."""
    calibration: Calibration
    """How far its probabilities can be trusted."""


class Majority(_Stored):
    """What saying the training split's most frequent class to every image achieves: the floor of all floors."""

    name: str
    """Of that class."""
    top1: float
    """The part of the images that are of it."""
    top1_interval: Interval | None = None
    """Wilson's."""


class PairedDifference(_Stored):
    """Who is better on the very same images. Both see each image, so only those count on which one alone is right.

    Two intervals of their own say less: they may overlap though one of the two is right wherever the other is.
    """

    other: str
    """`teacher`, `probe` or `majority`."""
    difference: float
    """Top-1 of the student, or for `probe` of the probe, minus the other's."""
    interval: Interval
    """Newcombe's 95 % score interval for paired proportions (1998, method 10). It holds 0: these images do not tell."""
    only_this: int
    """Images on which the student alone is right."""
    only_other: int
    """Images on which the other alone is right."""
    p_value: float = Field(ge=0, le=1)
    """McNemar's exact test, two-sided: how often two equals would differ so much on so many images."""


class Answer(_Stored):
    """What a predictor says of an image."""

    answer: str
    """The class it takes the image for."""
    probability: float
    """That it gives to its answer."""


class JudgedImage(_Stored):
    """One image, and who said what of it."""

    path: str
    """As the user named it."""
    label: str
    """The image's class according to the data set."""
    student: Answer | None = None
    """What the student says of it."""
    teacher: Answer | None = None
    """What the reprogrammed teacher says of it."""
    probe: Answer | None = None
    """What the linear probe says of it."""


class ConfusionCell(_Stored):
    """A cell of the confusion matrix with images in it."""

    label: str
    """The true class."""
    predicted: str
    """The class that the images were taken for."""
    count: int
    """All of them; `images` lists at most 8."""
    images: tuple[JudgedImage, ...]
    """Those first about which the predictor was surest: its worst mistakes, and its clearest cases."""


class Evaluation(_Stored):
    """`evaluation.json`: the student beside what it learned from."""

    split: Split
    """The images that all figures are about."""
    note: str | None
    """What to know about them, for example that there is no test split."""
    images: int
    """How many there are."""
    classes: tuple[str, ...]
    """Of more than 500, `GET /v1/jobs/{job_id}/evaluation` shows the first 500 here and in `per_class`."""
    class_count: int | None = None
    """All classes, also those that are not named."""
    student: PredictorScores | None
    """None for `probe`, which trains none."""
    teacher: PredictorScores | None
    """The reprogrammed teacher."""
    probe: PredictorScores | None
    """A linear probe on the frozen teacher."""
    majority: Majority
    """The floor: one class for every image."""
    paired: tuple[PairedDifference, ...] = ()
    """The student, or for `probe` the probe, against each of the others."""
    cells: tuple[ConfusionCell, ...] = ()
    """The images behind the student's confusion matrix, or for `probe` the probe's: the most frequent confusions first,
    then the right answers in the order of the classes. At most 10,000."""

    @property
    def judged(self) -> PredictorScores:
        """The student, or for `probe` the probe."""
        scores = self.student or self.probe
        assert scores is not None
        return scores


def shown(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """What the service keeps of an `evaluation.json` to show: it does not grow with the number of classes."""
    cut = dict(evaluation)
    if "classes" in cut:
        cut["classes"] = cut["classes"][:MATRIX_CLASSES]
    for who in ("student", "teacher", "probe"):
        if cut.get(who):
            cut[who] = {**cut[who], "per_class": cut[who]["per_class"][:MATRIX_CLASSES]}
    return cut
