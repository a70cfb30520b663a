"""Jobs side by side: what differs in their specs, their curves, and by how much one student is better."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sqlalchemy.orm import Session

from app.db.models import Artifact, Job
from app.db.queries import comparison as queries
from app.db.queries.comparison import Scores
from app.db.queries.jobs import list_artifacts
from app.domain.answers import ANSWERS_NAME
from app.domain.errors import FileLost, NotFound
from app.domain.intervals import mcnemar, newcombe, wilson
from app.domain.job_comparison import (
    ALL_PAIRS,
    JOB_POINTS,
    SERIES_POINTS,
    Compared,
    ComparedFile,
    ComparedJob,
    ComparedStudent,
    CurveSeries,
    JobComparison,
    SpecDifference,
    StudentDifference,
)
from app.domain.manifest import Manifest
from app.domain.progress import MetricLine
from app.domain.spec import JobSpec
from app.domain.states import JobState, Stage
from app.services import metrics
from app.services.answer_marks import AnswerMarks, Marks, busy
from app.services.artifacts import stored
from app.storage.blobs import Blobs
from app.storage.published import read_whole

MANIFEST_NAME = "manifest.json"
MANIFEST_BYTES = 32 * 2**20
"""A larger one is none of ours."""
_EXPORTED = "student."
"""How the names of exported files begin."""


@dataclass(frozen=True)
class Subject:
    """What the store knows of one of the jobs."""

    job: Job
    points: Sequence[MetricLine]
    files: Mapping[str, Artifact]
    scores: Mapping[str | None, Scores | None]
    """By student, in their order; None for the probe of a job without students."""
    has_folders: bool
    """Whether the names of a student's files begin with its own."""

    def file(self, student: str | None, name: str) -> Artifact | None:
        return self.files.get(f"{student}/{name}" if self.has_folders else name)


@dataclass(frozen=True)
class _Entry:
    """A student with its marks, or why there are none."""

    subject: Subject
    student: str | None
    marks: Marks | None
    why: str | None


def load(session: Session, tenant: str, job_ids: Sequence[str]) -> list[Subject]:
    """
    Raises:
        NotFound: if one of them does not exist; it is named.
    """
    found = queries.jobs_by_id(session, tenant, job_ids)
    for job_id in job_ids:
        if job_id not in found:
            raise NotFound(f"There is no job {job_id}.", hint="GET /v1/jobs lists your jobs.", param="ids")
    return [_subject(session, tenant, found[job_id]) for job_id in dict.fromkeys(job_ids)]


def compare(blobs: Blobs, answers: AnswerMarks, subjects: Sequence[Subject]) -> JobComparison:
    """Reads files of the jobs, so no session is open meanwhile.

    Raises:
        StoreUnavailable: if the storage is away.
        ReportsBusy: if others are being made.
    """
    if not answers.places.acquire(blocking=False):
        raise busy()
    try:
        jobs = [_job(blobs, subject) for subject in subjects]
        entries = [_marked(answers, subject, student) for subject in subjects for student in subject.scores]
    finally:
        answers.places.release()
    pairs = combinations(entries, 2) if len(entries) <= ALL_PAIRS else ((entries[0], other) for other in entries[1:])
    return JobComparison(
        jobs=jobs,
        spec_differences=list(_spec_differences([subject.job for subject in subjects])),
        differences=[_difference(first, second) for first, second in pairs],
    )


def _subject(session: Session, tenant: str, job: Job) -> Subject:
    spec = JobSpec.read(job.spec)
    has_folders = spec.students is not None and bool(spec.every_student)
    scores = {
        student: queries.scores(session, job.id, student if has_folders else None)
        for student in spec.every_student or (None,)
    }
    points = metrics.curves(session, tenant, job.id, stage=None, from_step=0)
    files = {file.name: file for file in list_artifacts(session, job.id)}
    return Subject(job, points, files, scores, has_folders)


def _job(blobs: Blobs, subject: Subject) -> ComparedJob:
    job, (manifest, lacks) = subject.job, _manifest(blobs, subject)
    return ComparedJob(
        id=job.id,
        state=JobState(job.state),
        method=job.spec["method"],
        dataset_id=job.dataset_id,
        dataset_digest=manifest.dataset.get("digest") if manifest else None,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        cpu=(manifest.cpu or None) if manifest else None,
        students=[_student(subject, student, manifest, lacks) for student in subject.scores],
        curves=_series(subject.points),
    )


def _manifest(blobs: Blobs, subject: Subject) -> tuple[Manifest | None, str | None]:
    """Or why there is none."""
    file = subject.files.get(MANIFEST_NAME)
    if file is None:
        return None, _no_files(subject.job)
    try:
        if file.bytes > MANIFEST_BYTES:
            raise ValueError
        return Manifest.model_validate_json(read_whole(blobs, stored(file))), None
    except FileLost:
        return None, "The storage no longer has the manifest."
    except ValueError:  # a ValidationError is one
        return None, "The manifest is of another version."


def _student(subject: Subject, student: str | None, manifest: Manifest | None, lacks: str | None) -> ComparedStudent:
    scores = subject.scores[student]
    interval = None
    if scores is not None and scores.top1 is not None and scores.images:
        interval = wilson(round(scores.top1 * scores.images), scores.images)
    return ComparedStudent(
        student=student,
        split=scores.split if scores else None,
        images=scores.images if scores else None,
        top1=scores.top1 if scores else None,
        top1_interval=interval,
        macro_f1=scores.macro_f1 if scores else None,
        teacher_top1=scores.teacher_top1 if scores else None,
        files=list(_files(subject, student, manifest)),
        note=lacks if interval else f"The job is {subject.job.state}: it has no evaluation.",
    )


def _files(subject: Subject, student: str | None, manifest: Manifest | None) -> Iterator[ComparedFile]:
    prefix = f"{student}/{_EXPORTED}" if subject.has_folders else _EXPORTED
    for name, file in subject.files.items():
        if not name.startswith(prefix):
            continue
        measured = manifest.measured.get(name) if manifest else None
        parity = manifest.parity.get(name) if manifest else None
        timed = [one for one in measured.latencies if one.device == "cpu" and one.batch == 1] if measured else []
        yield ComparedFile(
            name=name,
            bytes=file.bytes,
            latency_ms=timed[0].p50_ms if timed else None,
            threads=timed[0].threads if timed else None,
            top1_agreement=parity.top1_agreement if parity else None,
            max_logit_difference=parity.max_logit_difference if parity else None,
            accuracy_loss=parity.accuracy_loss if parity else None,
        )


def _series(points: Sequence[MetricLine]) -> list[CurveSeries]:
    curves: dict[tuple[Stage, str], list[tuple[int, float]]] = {}
    for point in points:
        for name, value in point.values.items():
            curves.setdefault((point.stage, name), []).append((point.step, value))
    most = max(2, min(SERIES_POINTS, JOB_POINTS // max(1, len(curves))))
    thinned = {key: _spread(curve, most) for key, curve in curves.items()}
    return [
        CurveSeries(stage=stage, name=name, steps=[step for step, _ in curve], values=[value for _, value in curve])
        for (stage, name), curve in thinned.items()
    ]


def _spread(curve: list[tuple[int, float]], most: int) -> list[tuple[int, float]]:
    """At most so many points, evenly, with the first and the last."""
    if len(curve) <= most:
        return curve
    return [curve[round(place * (len(curve) - 1) / (most - 1))] for place in range(most)]


def _spec_differences(jobs: Sequence[Job]) -> Iterator[SpecDifference]:
    options = {job.id: dict(_flat(job.spec)) for job in jobs}
    for path in sorted({path for one in options.values() for path in one}):
        values = {job_id: one.get(path) for job_id, one in options.items()}
        if any(value != values[jobs[0].id] for value in values.values()):
            yield SpecDifference(path=path, values=values)


def _flat(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _marked(answers: AnswerMarks, subject: Subject, student: str | None) -> _Entry:
    job, file = subject.job, subject.file(student, ANSWERS_NAME)
    if file is None:
        why = (
            _no_files(job)
            if MANIFEST_NAME not in subject.files
            else (f"{job.id} was run by an earlier version, which kept no answer for each image.")
        )
        return _Entry(subject, student, None, why)
    try:
        return _Entry(subject, student, answers.get(stored(file)), None)
    except FileLost:
        return _Entry(subject, student, None, f"The storage no longer has the answers of {job.id}.")


def _no_files(job: Job) -> str:
    if job.files_deleted_at is not None:
        return f"The files of {job.id} were deleted on {job.files_deleted_at:%Y-%m-%d}."
    return f"{job.id} is {job.state}: it has no files."


def _difference(first: _Entry, second: _Entry) -> StudentDifference:
    sides: dict[str, Any] = {
        "first": Compared(job_id=first.subject.job.id, student=first.student),
        "second": Compared(job_id=second.subject.job.id, student=second.student),
    }
    one, other = first.marks, second.marks
    reason = _incomparable(first, second)
    if reason is not None or one is None or other is None or not one.count:
        nothing: dict[str, Any] = dict.fromkeys(
            ("images", "difference", "interval", "only_first", "only_second", "p_value")
        )
        return StudentDifference(**sides, **nothing, reason=reason or "No image was judged.")
    both = (one.right & other.right).bit_count()
    only_first, only_second = one.right.bit_count() - both, other.right.bit_count() - both
    return StudentDifference(
        **sides,
        images=one.count,
        difference=(only_second - only_first) / one.count,
        interval=newcombe(both, only_second, only_first, one.count - both - only_first - only_second),
        only_first=only_first,
        only_second=only_second,
        p_value=mcnemar(only_first, only_second),
        reason=None,
    )


def _incomparable(first: _Entry, second: _Entry) -> str | None:
    one, other = first.marks, second.marks
    if one is None or other is None:
        return first.why or second.why
    if one.images_digest != other.images_digest:
        if first.subject.job.dataset_id != second.subject.job.dataset_id:
            return "They were trained on different data sets and judged on different images."
        return "They were judged on different images."
    if one.labels_digest != other.labels_digest:
        return "They were judged on the same images with different labels."
    return None
