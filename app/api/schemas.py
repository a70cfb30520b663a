"""The shapes on the wire."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from app.db import models
from app.domain.choice import Choice
from app.domain.line import Place
from app.domain.manifest import Preprocessing
from app.domain.progress import MetricLine
from app.domain.spec import JobSpec
from app.domain.states import DatasetState, JobState, Stage, StopRequest

Item = TypeVar("Item", bound=BaseModel)


class ListPage(BaseModel, Generic[Item]):
    """One page of a list. Pass `last_id` as `after` to get the next while `has_more` is true."""

    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str | None = Field(default=None, description="Of the first item on this page; null on an empty one.")
    last_id: str | None = Field(default=None, description="Of the last item on this page; the next page's `after`.")
    has_more: bool = Field(description="Whether there are more behind this page.")

    @classmethod
    def of(cls, items: Iterable[Item], ids: Sequence[str], *, has_more: bool) -> Self:
        return cls(
            data=list(items), first_id=ids[0] if ids else None, last_id=ids[-1] if ids else None, has_more=has_more
        )


class Failure(BaseModel):
    """Why a job failed or a data set was rejected, in the words of an HTTP problem."""

    model_config = ConfigDict(extra="ignore")

    code: str = Field(examples=["dataset_rejected"])
    title: str | None = None
    detail: str = Field(examples=["The archive holds no image."])
    hint: str | None = None


class DatasetRead(BaseModel):
    """A data set: an uploaded archive of labelled images, and what became of it."""

    id: str = Field(examples=["ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC"])
    object: Literal["dataset"] = "dataset"
    name: str = Field(examples=["digits.zip"])
    state: DatasetState = Field(description="Jobs run on data sets that are `ready`.")
    progress: float = Field(description="0..1 of the import; it begins anew where another worker takes over.")
    bytes: int = Field(description="Size of the uploaded archive.", examples=[1048576])
    sha256: str = Field(description="Of the uploaded archive.")
    digest: str | None = Field(description="Of the content: the same images, labels and splits have the same digest.")
    classes: list[str] | None = Field(description="In the order of the student's outputs; null until ready.")
    images: int | None = Field(description="Usable images; null until ready.")
    counts: dict[str, int] | None = Field(description="Images of each split; null until ready.")
    error: Failure | None = Field(description="Why it was rejected.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, dataset: models.Dataset) -> Self:
        report = dataset.report
        return cls(
            id=dataset.id,
            name=dataset.name,
            state=dataset.state,
            progress=dataset.progress,
            bytes=dataset.bytes,
            sha256=dataset.sha256,
            digest=dataset.digest,
            classes=report["classes"] if report else None,
            images=report["images"] if report else None,
            counts={split: sum(classes.values()) for split, classes in report["counts"].items()} if report else None,
            error=Failure.model_validate(dataset.error) if dataset.error else None,
            created_at=dataset.created_at,
            updated_at=dataset.updated_at,
        )


class QueuePlace(BaseModel):
    """Where a queued job stands."""

    position: int = Field(
        description="1 runs next. The order is by priority, then in turn for each key's owner, then by age.",
        ge=1,
        examples=[3],
    )
    reason: str = Field(description="What it waits for, in words.", examples=["2 ahead", "waiting for a worker"])

    @classmethod
    def of(cls, place: Place) -> Self:
        if place.held:
            reason = "you run as many jobs as you may; one of them must end first"
        else:
            reason = f"{place.position - 1} ahead" if place.position > 1 else "waiting for a worker"
        return cls(position=place.position, reason=reason)


class JobRead(BaseModel):
    """A job: a student being reprogrammed towards and distilled, or what came of it."""

    id: str = Field(examples=["job_01JCZ7R2M4K6H8G0F1E3D5C7B9"])
    object: Literal["job"] = "job"
    state: JobState
    stage: Stage | None = Field(description="What a running job is doing, or an ended one did last.")
    progress: float = Field(description="0..1 of the whole job; never goes back.", examples=[0.42])
    eta_seconds: float | None = Field(description="Estimated seconds to the end, while it runs.")
    queue: QueuePlace | None = Field(description="Null unless it is queued.")
    dataset_id: str
    spec: JobSpec | dict[str, Any] = Field(
        description="As asked, defaults filled in. Of another shape where another version of the service took the job."
    )
    warnings: list[str] = Field(description="What you should know although it was accepted.")
    metrics: dict[str, float] = Field(
        description="The latest value of each metric; with `students`, `<student>/` stands before what is one's own.",
        examples=[{"student_accuracy": 0.94}],
    )
    choice: Choice | dict[str, Any] | None = Field(
        description="With `constraints`, once it has succeeded: the file that fits them, or the one that comes closest "
        "and by how much it misses. Of another shape where another version of the service ran the job."
    )
    error: Failure | None = Field(description="Why it failed.")
    attempts: int = Field(description="How often a worker took it since it last progressed.")
    cancel_requested: bool = Field(description="Its worker was asked to end it.")
    pause_requested: bool = Field(description="Its worker was asked to save it and let it wait.")
    retry_of: str | None = Field(description="The ended job that this one tries again.")
    metadata: dict[str, str]
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: models.Job, places: Mapping[str, Place]) -> Self:
        return cls(
            id=job.id,
            state=job.state,
            stage=job.stage,
            progress=job.progress,
            eta_seconds=job.eta_seconds,
            queue=QueuePlace.of(places[job.id]) if job.id in places else None,
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
            metadata=job.user_metadata,
            created_at=job.created_at,
            updated_at=job.updated_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
        )


class EventRead(BaseModel):
    """Something that happened to a job."""

    seq: int = Field(description="1, 2, 3 … within the job; pass the last one as `after`.")
    kind: str = Field(description="`state`, `stage`, `info` or `warning`.", examples=["state"])
    code: str = Field(examples=["claimed"])
    message: str
    data: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, event: models.JobEvent) -> Self:
        return cls(
            seq=event.seq,
            kind=event.kind,
            code=event.code,
            message=event.message,
            data=event.data,
            created_at=event.created_at,
        )


class MetricPoint(BaseModel):
    """One point of the curves."""

    stage: Stage
    step: int = Field(description="Optimiser step within the stage; with `students` it counts on from one to the next.")
    values: dict[str, float]

    @classmethod
    def of(cls, line: MetricLine) -> Self:
        return cls(stage=line.stage, step=line.step, values=line.values)


class CurvesRead(BaseModel):
    """A job's curves, by stage and step."""

    object: Literal["curves"] = "curves"
    points: list[MetricPoint]


class ArtifactRead(BaseModel):
    """A published file."""

    name: str = Field(examples=["student.onnx", "resnet18/student.onnx"])
    object: Literal["artifact"] = "artifact"
    bytes: int
    sha256: str
    media_type: str

    @classmethod
    def of(cls, artifact: models.Artifact) -> Self:
        return cls(name=artifact.name, bytes=artifact.bytes, sha256=artifact.sha256, media_type=artifact.media_type)


class ClassProbability(BaseModel):
    """How probable the student holds one class."""

    name: str = Field(serialization_alias="class", examples=["0"])
    probability: float = Field(description="Softmax of the logits; of all classes they sum to 1.", examples=[0.97])


class PredictionRead(BaseModel):
    """What a student makes of an image."""

    object: Literal["prediction"] = "prediction"
    job_id: str
    student: str = Field(examples=["mobilenetv3_small_050"])
    file: str = Field(description="The artefact that was run.", examples=["student.onnx"])
    predictions: list[ClassProbability] = Field(description="The most probable first.")
    preprocessing: Preprocessing = Field(description="What was done to the image before, as the manifest has it.")
    latency_ms: float = Field(description="Of the network alone, on one thread: no loading, no decoding.")


class Health(BaseModel):
    """Whether the service stands."""

    status: Literal["ok"] = "ok"
    checks: dict[str, Literal["ok", "away"]] = Field(default={}, description="What it stands on, each by its name.")
