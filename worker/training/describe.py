"""What a run says of itself: a manifest for each student, and one of the whole job above several."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.errors import TrainingFailed
from app.domain.manifest import Manifest, Parity, Preprocessing
from app.domain.spec import TrainingSpec
from worker.training.evaluate import accuracies
from worker.training.export.manifest import MANIFEST_NAME, describe_student, write_manifest
from worker.training.export.student import FILE_NAMES, WEIGHTS_NAME
from worker.training.models import Student
from worker.training.prepare import INTERPOLATION, Images, Run, TeacherTaps

EVALUATION_NAME = "evaluation.json"
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
    parity: Mapping[str, Parity]


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


def describe(run: Run, images: Images, taps: TeacherTaps | None, outcomes: Sequence[Delivered]) -> Manifest:
    """Write manifest.json of every outcome and, above several students, of the job. Returns the job's.

    Raises:
        TrainingFailed: the teacher is not what it was before the job.
    """
    facts: dict[str, Any] = {
        "classes": images.index.classes,
        "teacher": None if taps is None else _describe_teacher(taps),
        "dataset": {
            "digest": images.index.digest,
            "images": dict(Counter(str(sample.split) for sample in images.index.samples)),
            "split_source": images.index.split_source,
        },
        "device": str(run.device),
    }
    shared = _shared_files(run)
    alone = not outcomes[0].trained.name
    manifests = [_describe_one(run, outcome, facts, shared if alone else []) for outcome in outcomes]
    if alone:
        return manifests[0]
    files = list(shared)
    parity: dict[str, Parity] = {}
    metrics: dict[str, float] = {}
    for outcome, manifest in zip(outcomes, manifests, strict=True):
        name = outcome.trained.name
        files += [f"{name}/{file}" for file in [*(listed.name for listed in manifest.files), MANIFEST_NAME]]
        parity |= {f"{name}/{file}": value for file, value in outcome.parity.items()}
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
        **facts,
    )


def _describe_one(run: Run, outcome: Delivered, facts: Mapping[str, Any], shared: Sequence[str]) -> Manifest:
    trained = outcome.trained
    spec, student, files = trained.spec, trained.student, [EVALUATION_NAME]
    if student is not None:
        files = [FILE_NAMES[chosen] for chosen in spec.export.formats] + [WEIGHTS_NAME, EVALUATION_NAME]
    return write_manifest(
        trained.folder,
        files=[*files, *shared],
        spec=spec,
        preprocessing=None if student is None else preprocessing_of(spec, student),
        student=None if student is None else describe_student(student.architecture, student.network, student.kwargs),
        metrics=accuracies(outcome.evaluation),
        seconds=_seconds_for(trained.name, run.reporter.seconds),
        parity=outcome.parity,
        **facts,
    )


def _describe_teacher(taps: TeacherTaps) -> dict[str, Any]:
    teacher = taps.teacher
    if teacher.digest() != taps.digest:
        raise TrainingFailed("The frozen teacher changed during the job.", hint="Please report this: it is a bug.")
    facts = {key: teacher.card.get(key) for key in ("architecture", "licence", "source")}
    return {"name": teacher.name, **facts, "sha256": taps.digest, "image_size": teacher.image_size}


def _shared_files(run: Run) -> list[str]:
    """What stage 1 leaves to the user: the proxy space or, where it is all there is, the probe."""
    if run.spec.method.reprograms:
        return [REPROGRAMMED_NAME]
    return [] if run.spec.method.needs_student else [PROBE_NAME]


def _of_whom(student: str, metric: str) -> str:
    """Teacher, probe and majority are the same for all students of a job."""
    return f"{student}/{metric}" if metric.startswith("student_") else metric


def _seconds_for(student: str, seconds: Mapping[str, float]) -> dict[str, float]:
    """Where a stage has been booked by student, this one's part takes the place of the whole."""
    whole = {name: value for name, value in seconds.items() if "/" not in name}
    own = {name.removesuffix(f"/{student}"): value for name, value in seconds.items() if name.endswith(f"/{student}")}
    return whole | own
