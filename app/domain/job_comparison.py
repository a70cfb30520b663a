"""Several jobs side by side: what `GET /v1/jobs/compare` answers."""

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from app.domain.base import Frozen
from app.domain.evaluation import Interval
from app.domain.states import JobState, Stage

MOST_JOBS = 10
ALL_PAIRS = 10
"""With more students than these in all, each is compared with the first one only."""
SERIES_POINTS = 100
"""Of one curve; as many as a worker draws of a stage."""
JOB_POINTS = 4_000
"""Of all curves of a job together: those of many students are thinned out."""


class _Described(Frozen):
    """Whose fields are explained in the OpenAPI document as they are here."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class SpecDifference(_Described):
    """An option in which the jobs differ."""

    path: str
    """Its dotted name: `distill.temperature`."""
    values: dict[str, Any]
    """By job id; null where the job's spec has no such option."""


class CurveSeries(_Described):
    """One curve, thinned out to at most 100 points."""

    stage: Stage
    """The stage that it belongs to."""
    name: str
    """Of the metric: `loss`, or with several students `resnet18/loss`."""
    steps: list[int]
    """Of its points."""
    values: list[float]
    """As many as `steps`."""


class ComparedFile(_Described):
    """An exported file."""

    name: str
    """As in the job's list of files."""
    bytes: int
    """Its size."""
    latency_ms: float | None
    """Median of one image on the worker's CPU; null if it was not measured. Compare it only where `cpu` is the same."""
    threads: int | None
    """With which it was measured."""
    top1_agreement: float | None
    """Part of the evaluated images on which it answers as the trained student does."""
    max_logit_difference: float | None
    """The largest distance from the trained student's logits."""
    accuracy_loss: float | None
    """Of int8: the student's accuracy less the file's."""


class ComparedStudent(_Described):
    """A student of one of the jobs, or of a job that trains none its probe."""

    student: str | None
    """As the spec calls it; null for a job that trains none."""
    split: str | None
    """The images that it was judged on: `test`, or `val` or `train` where there are no test images."""
    images: int | None
    """How many."""
    top1: float | None
    """Accuracy; null where `note` says why."""
    top1_interval: Interval | None
    """Wilson's 95 % interval of this accuracy alone. Whether two students differ is told by `differences`."""
    macro_f1: float | None
    """Mean F1 over the classes that have images."""
    teacher_top1: float | None
    """Of the reprogrammed teacher on the same images."""
    files: list[ComparedFile]
    """Its exported files."""
    note: str | None
    """Why something is missing."""


class ComparedJob(_Described):
    """One of the jobs."""

    id: str
    """The job's id."""
    state: JobState
    """Only a job that has succeeded has accuracies and files."""
    method: str
    """How its students learned."""
    dataset_id: str
    """The data set that it ran on."""
    dataset_digest: str | None
    """Equal for equal images, labels and splits, also in different data sets; null if the job's files do not tell."""
    created_at: datetime
    """When it was created."""
    started_at: datetime | None
    """When a worker first began with it."""
    finished_at: datetime | None
    """When it ended."""
    cpu: str | None
    """The processor on which its files were timed."""
    students: list[ComparedStudent]
    """In the order in which they were trained."""
    curves: list[CurveSeries]
    """One for each metric."""


class Compared(_Described):
    """One side of a difference."""

    job_id: str
    """The student's job."""
    student: str | None
    """As the spec calls it; null for a job that trains none."""


class StudentDifference(_Described):
    """Two students on the very same images. Only those count on which one alone is right."""

    first: Compared
    """The student that is compared."""
    second: Compared
    """The one that it is compared with."""
    images: int | None
    """On which both were judged."""
    difference: float | None
    """Top-1 of `second` minus top-1 of `first`; null where `reason` says why."""
    interval: Interval | None
    """Newcombe's 95 % score interval for paired proportions. If it contains 0, these images do not show which is
    better. It does not cover the training seed."""
    only_first: int | None
    """Images on which `first` alone is right."""
    only_second: int | None
    """Images on which `second` alone is right."""
    p_value: float | None = Field(ge=0, le=1)
    """McNemar's exact test, two-sided."""
    reason: str | None
    """Why there is no difference to tell: other images, other labels, or no answers for each image."""


class JobComparison(_Described):
    """Jobs side by side, in the order in which they were named."""

    object: Literal["job_comparison"] = "job_comparison"
    """Always `job_comparison`."""
    jobs: list[ComparedJob]
    """In the order in which they were named."""
    spec_differences: list[SpecDifference]
    """Only the options in which they differ, by name."""
    differences: list[StudentDifference]
    """Each pair of students, within and between jobs; with more than ten students, the first one with each other."""
