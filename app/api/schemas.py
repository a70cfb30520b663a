"""The JSON that routes return."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, Self, TypeVar

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from app.api.schemas_tracking import JobTrackingRead
from app.db import models
from app.db.tracking_models import Tracking
from app.domain.base import Frozen, Shown
from app.domain.dataset import LISTED_CLASSES, Understanding
from app.domain.fair_queue import QueuePosition
from app.domain.manifest import Preprocessing
from app.domain.model_selection import Choice
from app.domain.previews import PreviewMark
from app.domain.progress import MetricLine
from app.domain.reproduction import Reproduction
from app.domain.sources import shown_url
from app.domain.spec import JobSpec
from app.domain.states import DatasetState, JobState, Stage, StopRequest
from app.services.timing import expected_end, remaining_seconds

A_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
A_TIME = "2026-01-15T09:30:00Z"
"""For examples."""
Item = TypeVar("Item", bound=BaseModel)


class ListPage(Shown, Generic[Item]):
    """One page of a list. Pass `last_id` as `after` to get the next while `has_more` is true."""

    # pydantic would look for the source of `ListPage[…]`, which has none, and does not hand the text above on to it
    model_config = ConfigDict(
        use_attribute_docstrings=False,
        json_schema_extra={"description": "One page of a list. While `has_more` is true, pass `last_id` as `after`."},
    )

    object: Literal["list"] = "list"
    data: list[Item] = Field(description="The items of this page.")
    first_id: str | None = Field(
        default=None, description="Id of the first item on this page; null if the page is empty."
    )
    last_id: str | None = Field(default=None, description="Id of the last item on this page; pass it as `after`.")
    has_more: bool = Field(description="Whether more items follow.")

    @classmethod
    def from_items(cls, items: Iterable[Item], ids: Sequence[str], *, has_more: bool) -> Self:
        return cls(
            data=list(items), first_id=ids[0] if ids else None, last_id=ids[-1] if ids else None, has_more=has_more
        )


class Failure(Shown):
    """Why a job failed or a data set was rejected; the fields are those of an HTTP problem."""

    model_config = ConfigDict(extra="ignore")

    code: str = Field(description="The kind of failure, for programs.", examples=["dataset_rejected"])
    title: str | None = Field(
        default=None, description="The failure in a few words; the same for every one of its code."
    )
    detail: str = Field(description="What happened this time.", examples=["The archive holds no image."])
    hint: str | None = Field(default=None, description="How to fix it.")


class DatasetListed(Shown):
    """An archive of labelled images and the state of its import."""

    id: str = Field(description="Its id.", examples=["ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC"])
    object: Literal["dataset"] = "dataset"
    name: str = Field(description="As it was named, or its file's name.", examples=["digits.zip"])
    state: DatasetState = Field(
        description="A job needs a data set that is `ready`. One in `needs_answer` can be read in several ways: "
        "choose one with `POST /v1/datasets/{dataset_id}/layout`.",
        examples=["ready"],
    )
    progress: float = Field(
        description="Progress of the import, 0 to 1; the first half of it is the download of an archive that is "
        "fetched. Restarts if another worker takes over.",
        examples=[1.0],
    )
    bytes: int = Field(
        description="Size of the archive; of one that is fetched, 0 until its server has told it or all has come.",
        examples=[1048576],
    )
    sha256: str | None = Field(
        description="SHA-256 of the archive; null until it has been fetched.", examples=[A_SHA256]
    )
    source_url: str | None = Field(
        description="The address that the archive is fetched from, without its query; null if it was uploaded.",
        examples=["https://example.com/images.zip"],
    )
    digest: str | None = Field(
        description="Digest of the content: equal for equal images, labels and splits.", examples=[A_SHA256]
    )
    class_count: int | None = Field(description="Number of classes; null until ready.", examples=[2])
    images: int | None = Field(description="Number of usable images; null until ready.", examples=[240])
    counts: dict[str, int] | None = Field(
        description="Number of images per split; null until ready.", examples=[{"train": 160, "val": 40, "test": 40}]
    )
    error: Failure | None = Field(description="Why it was rejected.")
    created_at: datetime = Field(description="When it was uploaded, or its address was sent.")
    updated_at: datetime = Field(description="When its state or progress last changed.")

    @classmethod
    def from_row(cls, dataset: models.Dataset, **more: Any) -> Self:
        summary = dataset.summary or {}
        return cls(
            id=dataset.id,
            name=dataset.name,
            state=dataset.state,
            progress=dataset.progress,
            bytes=dataset.bytes,
            sha256=dataset.sha256 or None,
            source_url=None if dataset.source_url is None else shown_url(dataset.source_url),
            digest=dataset.digest,
            class_count=summary.get("class_count"),
            images=summary.get("images"),
            counts=summary.get("counts"),
            error=Failure.model_validate(dataset.error) if dataset.error else None,
            created_at=dataset.created_at,
            updated_at=dataset.updated_at,
            **more,
        )


class DatasetRead(DatasetListed):
    """A data set with its classes."""

    layout: Understanding | None = Field(
        description="How the archive was read, with the evidence and what else it could have been. In the state "
        "`needs_answer` its `readings` are those to choose from with `POST /v1/datasets/{dataset_id}/layout`. Null "
        "until the import has ended, if it was rejected, and for data sets that an earlier version imported."
    )
    classes: list[str] | None = Field(
        description=f"The first {LISTED_CLASSES} class names in the order of the student's outputs; null until ready. "
        "`GET /v1/datasets/{dataset_id}/classes` lists all `class_count` of them.",
        examples=[["cat", "dog"]],
    )

    @classmethod
    def from_row(cls, dataset: models.Dataset, **more: Any) -> Self:
        layout = None if dataset.layout is None else Understanding.model_validate(dataset.layout)
        return super().from_row(dataset, layout=layout, **more)


class DatasetClassRead(Shown):
    """A class of a data set."""

    object: Literal["class"] = "class"
    index: int = Field(description="Its place among the student's outputs, from 0; pass the last one as `after`.")
    name: str = Field(description="As the archive names it.", examples=["cat"])
    counts: dict[str, int] = Field(description="Number of labelled images per split.", examples=[{"train": 80}])

    @classmethod
    def from_row(cls, row: models.DatasetClass) -> Self:
        return cls(index=row.number, name=row.name, counts={"train": row.train, "val": row.val, "test": row.test})


class QueuePositionRead(Shown):
    """The position of a queued job."""

    position: int = Field(
        description="1 runs next. Jobs are ordered by priority, then round-robin between tenants, then by age.",
        ge=1,
        examples=[3],
    )
    reason: str = Field(description="What the job waits for.", examples=["2 ahead", "waiting for a worker"])

    @classmethod
    def from_position(cls, place: QueuePosition) -> Self:
        if place.held:
            reason = "your quota of running jobs is used up; one of them must end first"
        else:
            reason = f"{place.position - 1} ahead" if place.position > 1 else "waiting for a worker"
        return cls(position=place.position, reason=reason)


class JobRead(Shown):
    """A training job and its progress."""

    id: str = Field(description="Its id.", examples=["job_01JCZ7R2M4K6H8G0F1E3D5C7B9"])
    object: Literal["job"] = "job"
    state: JobState = Field(description="`succeeded`, `failed` and `cancelled` are final.", examples=["running"])
    stage: Stage | None = Field(
        description="The current stage of a running job, or the last one of an ended job.", examples=["distill"]
    )
    progress: float = Field(
        description="Progress of the whole job, 0 to 1, by time: never decreases, and 1 only once it has succeeded.",
        examples=[0.42],
    )
    eta_seconds: float | None = Field(
        description="Estimated remaining seconds, at the pace of this run; falls with the clock. Null while that is "
        "unknown: until the job runs and has seen its data, or where it is overdue and its worker says nothing. 0 once "
        "it has ended. Its falling alone does not change the ETag.",
        examples=[84.5],
    )
    estimated_start: datetime | None = Field(
        description="When a worker will probably take a queued job: from the remaining time of running jobs and the "
        "estimates of those ahead. Null while that is unknown, as when no worker gives signs of life. It moves with "
        "other jobs and does not change the ETag."
    )
    estimated_end: datetime | None = Field(
        description="The same as a moment: when a running job will have ended. Changes only when the job has something "
        "to tell, so count down to it between two answers."
    )
    estimated_seconds: float | None = Field(
        description="How long the job was expected to run when it was created; null where no worker had measured "
        "enough. `POST /v1/jobs/estimate` says more."
    )
    queue: QueuePositionRead | None = Field(description="Null unless the job is queued.")
    dataset_id: str = Field(description="The data set that it trains on.", examples=["ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC"])
    spec: JobSpec | dict[str, Any] = Field(
        description="The job as submitted, with defaults filled in; fields may differ if another version accepted it."
    )
    warnings: list[str] = Field(
        description="What to look at: noticed when the job was accepted and while it ran.", examples=[[]]
    )
    metrics: dict[str, float] = Field(
        description="The latest value of each metric; with `students`, a student's own start with `<student>/`.",
        examples=[{"student_accuracy": 0.94}],
    )
    choice: Choice | dict[str, Any] | None = Field(
        description="With `constraints`, once the job has succeeded: the file that meets them, or the closest one and "
        "by how much it misses. Its fields may differ if another version ran the job."
    )
    error: Failure | None = Field(description="Why the job failed.")
    attempts: int = Field(description="Attempts by workers since the job last made progress.")
    cancel_requested: bool = Field(description="Its worker has been asked to cancel it.")
    pause_requested: bool = Field(description="Its worker has been asked to write a checkpoint and pause it.")
    retry_of: str | None = Field(description="The job that this one retries.")
    rerun_of: str | None = Field(description="The job that this one repeats from the start.")
    reproduces: Reproduction | None = Field(
        description="Of a rerun that has succeeded: how like the repeated job's its result is."
    )
    metadata: dict[str, str] = Field(description="Your labels, as you sent them.", examples=[{"owner": "ann"}])
    webhook_url: str | None = Field(description="Told of each change of its state.")
    tracking: JobTrackingRead | None = Field(
        description="Where the job is logged when it ends, and what became of that; null without `track`."
    )
    created_at: datetime = Field(description="When it was created.")
    updated_at: datetime = Field(description="When anything of it last changed.")
    started_at: datetime | None = Field(description="When a worker first began with it.", examples=[A_TIME])
    finished_at: datetime | None = Field(description="When it ended.")
    files_deleted_at: datetime | None = Field(
        description="When the job's files were deleted because of their age; its evaluation and curves are kept."
    )

    @classmethod
    def from_row(
        cls,
        job: models.Job,
        places: Mapping[str, QueuePosition],
        starts: Mapping[str, datetime],
        tracked: Mapping[str, Mapping[str, Tracking]],
    ) -> Self:
        """`starts`: when queued jobs will probably begin, by id; `tracked`: what became of logging them, likewise."""
        return cls(
            id=job.id,
            state=job.state,
            stage=job.stage,
            progress=job.progress,
            eta_seconds=remaining_seconds(job),
            estimated_start=starts.get(job.id),
            estimated_end=expected_end(job),
            estimated_seconds=job.expected_seconds,
            queue=QueuePositionRead.from_position(places[job.id]) if job.id in places else None,
            dataset_id=job.dataset_id,
            spec=job.spec,
            warnings=job.warnings,
            metrics=job.metrics,
            choice=job.choice,
            error=Failure.model_validate(job.error) if job.error else None,
            attempts=job.attempts,
            cancel_requested=job.stop_requested == StopRequest.CANCEL,
            pause_requested=job.stop_requested == StopRequest.PAUSE,
            retry_of=job.retry_of,
            rerun_of=job.rerun_of,
            reproduces=Reproduction.model_validate(job.reproduces) if job.reproduces else None,
            metadata=job.user_metadata,
            webhook_url=job.webhook_url,
            tracking=JobTrackingRead.from_job(job, tracked.get(job.id, {})),
            created_at=job.created_at,
            updated_at=job.updated_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            files_deleted_at=job.files_deleted_at,
        )


class JobCancel(Frozen):
    """How to cancel a job."""

    keep_preview: StrictBool = Field(
        default=False,
        description="Keep the previews that there are, as the job's files. Ask for `student.preview.onnx` before; what "
        "was not asked for is kept as `student.preview.safetensors` alone.",
    )


class EventRead(Shown):
    """An event in the life of a job."""

    seq: int = Field(description="Counts 1, 2, 3 … within the job; pass the last one as `after`.")
    kind: str = Field(description="`state`, `stage`, `info` or `warning`.", examples=["state"])
    code: str = Field(description="What happened, for programs.", examples=["claimed"])
    message: str = Field(description="What happened, for people.", examples=["A worker has begun."])
    data: dict[str, Any] = Field(description="Particulars, by the event's code.", examples=[{"epoch": 1}])
    created_at: datetime = Field(description="When it happened.")

    @classmethod
    def from_row(cls, event: models.JobEvent) -> Self:
        return cls(
            seq=event.seq,
            kind=event.kind,
            code=event.code,
            message=event.message,
            data=event.data,
            created_at=event.created_at,
        )


class StreamTicket(Shown):
    """Permission to follow one job, instead of a key."""

    object: Literal["stream_ticket"] = "stream_ticket"
    ticket: str = Field(description="Pass it as `?ticket=` to the job's `events`.")
    expires_at: datetime = Field(description="Connect before this time.")


class MetricPoint(Shown):
    """One point of the training curves."""

    stage: Stage = Field(description="The stage that trains.", examples=["distill"])
    step: int = Field(
        description="Optimiser step within the stage; with `students` it continues from one student to the next."
    )
    values: dict[str, float] = Field(
        description="By name: losses are means since the previous point, accuracies fractions from 0 to 1.",
        examples=[{"loss": 0.41}],
    )

    @classmethod
    def from_line(cls, line: MetricLine) -> Self:
        return cls(stage=line.stage, step=line.step, values=line.values)


class CurvesRead(Shown):
    """The training curves of a job, by stage and step."""

    object: Literal["curves"] = "curves"
    points: list[MetricPoint] = Field(description="By stage and step.")


class ArtifactRead(Shown):
    """A published file."""

    name: str = Field(
        description="The last part of its URL; with several students `<student>/<file>`.",
        examples=["student.onnx", "resnet18/student.onnx"],
    )
    object: Literal["artifact"] = "artifact"
    bytes: int = Field(description="Its size.", examples=[2276312])
    sha256: str = Field(description="SHA-256 of its bytes.", examples=[A_SHA256])
    media_type: str = Field(description="As its download states it.", examples=["application/onnx"])

    @classmethod
    def from_row(cls, artifact: models.Artifact) -> Self:
        return cls(name=artifact.name, bytes=artifact.bytes, sha256=artifact.sha256, media_type=artifact.media_type)


class ClassProbability(Shown):
    """The predicted probability of one class."""

    name: str = Field(serialization_alias="class", description="The class.", examples=["cat"])
    probability: float = Field(description="Softmax of the logits; all classes sum to 1.", examples=[0.97])


class PredictionRead(Shown):
    """A student's prediction for one image."""

    object: Literal["prediction"] = "prediction"
    job_id: str = Field(description="The job that trained it.", examples=["job_01JCZ7R2M4K6H8G0F1E3D5C7B9"])
    student: str = Field(description="The student that was asked.", examples=["mobilenetv3_small_050"])
    file: str = Field(description="The artefact used.", examples=["student.onnx"])
    predictions: list[ClassProbability] = Field(description="Most probable first.")
    preprocessing: Preprocessing = Field(description="Preprocessing applied to the image, from the manifest.")
    preview: PreviewMark | None = Field(
        default=None, description="With `preview=true`: which student of the moment this was; null for a finished one."
    )
    latency_ms: float = Field(description="Time of the network alone on one thread, without loading and decoding.")


class Health(Shown):
    """The health of the service."""

    status: Literal["ok"] = Field(default="ok", description="Whether it answers.")
    checks: dict[str, Literal["ok", "away"]] = Field(
        default={},
        description="The state of each backing service.",
        examples=[{"database": "ok", "broker": "ok", "storage": "ok"}],
    )
    workers: dict[str, int] = Field(
        default={},
        examples=[{"training": 1, "datasets": 1}],
        description="Workers that give signs of life, by queue. Without one requests are still accepted, and wait.",
    )


def as_json(shown: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """As FastAPI would send it, but from the route's own thread: FastAPI goes to another one for it, which costs a
    request under load as much as a query, with the session still open."""
    return Response(shown.model_dump_json(), status, headers, media_type="application/json")
