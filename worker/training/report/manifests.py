"""What a run says of itself: a manifest for each student, and one of the whole job above several."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from app.domain.answers import ANSWERS_NAME
from app.domain.errors import TrainingFailed
from app.domain.evaluation import EVALUATION_NAME
from app.domain.manifest import Licences, Manifest, Measurement, Parity, Preprocessing
from app.domain.review import REVIEW_NAME
from app.domain.spec import TrainingSpec
from worker.training.data.pools import Images
from worker.training.engine.curves import Curves
from worker.training.evaluation.metrics import accuracies
from worker.training.export import formats
from worker.training.export.formats.safetensors import WEIGHTS_NAME
from worker.training.export.manifest import MANIFEST_NAME, describe_student, write_manifest
from worker.training.export.student import Exported
from worker.training.models.networks import NOT_STATED, Student
from worker.training.prepare import INTERPOLATION
from worker.training.report.comparison import Contender, choose_for, write_comparison
from worker.training.report.figures import illustrate
from worker.training.run import Run
from worker.training.teacher.task_teacher import TaskTeacher

PROBE_NAME, REPROGRAMMED_NAME = "probe.safetensors", "reprogrammed.safetensors"


@dataclass(frozen=True)
class Trained:
    """One student after stage 2, and where its files go."""

    spec: TrainingSpec
    """As of a job that trains this student alone."""
    folder: Path
    name: str
    """Its folder below the job's, where there are several; else empty, and the folder is the job's."""
    student: Student | None
    """With its averaged weights, in eval mode. None for `probe`, whose one outcome is an evaluation."""


@dataclass(frozen=True)
class Delivered:
    """The same, evaluated and exported."""

    trained: Trained
    evaluation: Mapping[str, Any]
    exported: Exported
    measured: Mapping[str, Measurement]

    @cached_property
    def facts(self) -> dict[str, Any] | None:
        """The manifest's `student`."""
        student = self.trained.student
        if student is None:
            return None
        told = describe_student(student.architecture, student.network, student.kwargs, student.image_size)
        return told | {"weights": student.weights}

    def contender(self, folder: str) -> Contender:
        """`folder` is where its files lie, as the manifest that names them sees it."""
        assert self.facts is not None and self.trained.spec.student is not None
        top1 = self.evaluation["student"]["top1"]
        coarser = {
            name: top1 - parity.accuracy_loss
            for name, parity in self.exported.parity.items()
            if parity.accuracy_loss is not None
        }
        return Contender(folder, self.trained.spec.student, self.evaluation, self.measured, coarser, self.facts)


def preprocessing_of(spec: TrainingSpec, student: Student) -> Preprocessing:
    """What a user must do to an image before this student sees it."""
    mean, std = student.normalisation["mean"], student.normalisation["std"]
    return Preprocessing(
        resize_short_side=spec.image_size,
        center_crop=spec.image_size,
        interpolation=INTERPOLATION,
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
    )


def licences_of(student: Student, task_teacher: TaskTeacher | None) -> Licences:
    """The chain of what this student was made from."""
    teachers = [] if task_teacher is None else [source.teacher for source in task_teacher.taps.sources]
    stated = {teacher.name: teacher.card.get("licence") or NOT_STATED for teacher in teachers}
    several = "; ".join(f"{name}: {licence}" for name, licence in stated.items())
    return Licences(
        student_weights=student.licence,
        teacher=several if len(stated) > 1 else next(iter(stated.values()), None),
        dataset="the uploader's own images; their terms were not told to the service",
    )


def describe(run: Run, images: Images, task_teacher: TaskTeacher | None, outcomes: Sequence[Delivered]) -> Manifest:
    """Write manifest.json of every outcome and, above several students, of the job. Returns the job's.

    Raises:
        TrainingFailed: a teacher is not what it was before the job.
    """
    teachers = [] if task_teacher is None else _describe_teachers(task_teacher, live=run.live)
    facts: dict[str, Any] = {
        "classes": images.index.classes,
        "teacher": teachers[0] if len(teachers) == 1 else None,
        "teachers": teachers if len(teachers) > 1 else [],
        "dataset": {
            "digest": images.index.digest,
            "images": dict(Counter(str(sample.split) for sample in images.index.samples)),
            "split_source": images.index.split_source,
        },
        "device": str(run.device),
    }
    shared = _shared_files(run)
    alone = not outcomes[0].trained.name
    manifests = [_describe_one(run, task_teacher, outcome, facts, shared if alone else []) for outcome in outcomes]
    if alone:
        return manifests[0]
    contenders = [outcome.contender(outcome.trained.name) for outcome in outcomes]
    files = [*shared, *write_comparison(run, contenders)]
    measured: dict[str, Measurement] = {}
    parity: dict[str, Parity] = {}
    withheld: dict[str, str] = {}
    metrics: dict[str, float] = {}
    for outcome, manifest in zip(outcomes, manifests, strict=True):
        name = outcome.trained.name
        files += [f"{name}/{file}" for file in [*(listed.name for listed in manifest.files), MANIFEST_NAME]]
        parity |= {f"{name}/{file}": value for file, value in outcome.exported.parity.items()}
        withheld |= {f"{name}/{file}": why for file, why in outcome.exported.withheld.items()}
        measured |= {f"{name}/{file}": value for file, value in outcome.measured.items()}
        metrics |= {_of_whom(name, metric): value for metric, value in manifest.metrics.items()}
    return write_manifest(
        run.out_dir,
        files=files,
        spec=run.spec,
        preprocessing=None,
        student=None,
        metrics=metrics,
        seconds=run.reporter.seconds,
        parity=parity,
        withheld=withheld,
        measured=measured,
        choice=choose_for(run.spec, contenders),
        **facts,
    )


def _describe_one(
    run: Run,
    task_teacher: TaskTeacher | None,
    outcome: Delivered,
    facts: Mapping[str, Any],
    shared: Sequence[str],
) -> Manifest:
    trained = outcome.trained
    spec, student, files = trained.spec, trained.student, [EVALUATION_NAME, ANSWERS_NAME]
    points = Curves(run.out_dir).points(trained.name)
    if student is not None:
        asked = [formats.find(chosen).file for chosen in spec.export.formats]
        files = [*(file for file in asked if file not in outcome.exported.withheld), WEIGHTS_NAME, *files]
    return write_manifest(
        trained.folder,
        files=[*files, *shared],
        spec=spec,
        preprocessing=None if student is None else preprocessing_of(spec, student),
        student=outcome.facts,
        metrics=accuracies(outcome.evaluation),
        seconds=_seconds_for(trained.name, run.reporter.seconds),
        parity=outcome.exported.parity,
        withheld=outcome.exported.withheld,
        measured=outcome.measured,
        choice=None if student is None else choose_for(spec, [outcome.contender("")]),
        licences=None if student is None else licences_of(student, task_teacher),
        illustrate=lambda manifest: illustrate(trained.folder, manifest, outcome.evaluation, points),
        **facts,
    )


def _describe_teachers(task_teacher: TaskTeacher, *, live: bool) -> list[dict[str, Any]]:
    """`views`: how many of each training image it was asked about; None where it was asked live."""
    views, told = None if live else task_teacher.taps.labelled.shape[1], []
    shares = task_teacher.shares
    for source in task_teacher.taps.sources:
        teacher = source.teacher
        if teacher.digest() != source.digest:
            raise TrainingFailed("The frozen teacher changed during the job.", hint="Please report this: it is a bug.")
        facts = {key: teacher.card.get(key) for key in ("architecture", "licence", "source")}
        facts |= {"sha256": source.digest, "image_size": teacher.image_size, "views": views}
        told.append({"name": teacher.name, **facts} | ({"share": shares[teacher.name]} if shares else {}))
    return told


def _shared_files(run: Run) -> list[str]:
    """What stage 1 leaves to the user: the proxy space or, where it is all there is, the probe; and what the teacher
    makes of the labels."""
    review = [REVIEW_NAME] if (run.out_dir / REVIEW_NAME).is_file() else []
    if run.spec.method_info.reprograms:
        return [REPROGRAMMED_NAME, *review]
    return review if run.spec.method_info.needs_student else [PROBE_NAME, *review]


def _of_whom(student: str, metric: str) -> str:
    """Teacher, probe and majority are the same for all students of a job."""
    return f"{student}/{metric}" if metric.startswith("student_") else metric


def _seconds_for(student: str, seconds: Mapping[str, float]) -> dict[str, float]:
    """What was booked by student is this one's, or left out where only others have it; the rest is of them all."""
    own = {name.removesuffix(f"/{student}"): value for name, value in seconds.items() if name.endswith(f"/{student}")}
    parted = {name.partition("/")[0] for name in seconds if "/" in name}
    whole = {name: value for name, value in seconds.items() if "/" not in name and name not in parted}
    return whole | own
