"""The JSON of jobs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field, StrictBool

from app.api.schemas.common import A_TIME, Failure
from app.api.schemas.tracking import JobTrackingRead
from app.db import models
from app.db.models import Tracking
from app.domain.base import Frozen, Shown
from app.domain.fair_queue import QueuePosition
from app.domain.model_selection import Choice
from app.domain.reproduction import Reproduction
from app.domain.spec import JobSpec
from app.domain.states import JobState, Stage, StopRequest
from app.services.timing import expected_end, remaining_seconds


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
        description="The latest value of each metric: of stage 1 until stage 2 begins, then of stage 2 and of the "
        "final evaluation. With `students`, a student's own start with `<student>/`.",
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
