"""The JSON of what a job tells and leaves: events, curves, files, predictions."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field

from app.api.schemas.common import A_SHA256
from app.db import models
from app.domain.base import Shown
from app.domain.manifest import Preprocessing
from app.domain.previews import PreviewMark
from app.domain.progress import MetricLine
from app.domain.states import Stage


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
