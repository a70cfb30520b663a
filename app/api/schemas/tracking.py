"""The JSON of where else a job is logged."""

from collections.abc import Mapping
from typing import Self

from pydantic import Field

from app.db.models import Job, Tracking
from app.domain.base import Shown
from app.domain.states import TERMINAL_JOB_STATES
from app.domain.tracking import TrackingState, TrackingTarget


class MLflowTrackingRead(Shown):
    """The job's run on the MLflow server of this service."""

    state: TrackingState = Field(
        description="`pending` until the job has ended and has been logged. `failed`: it was tried in vain for 17 "
        "hours. `skipped`: the job ended before it had started, so there is nothing to log.",
        examples=["succeeded"],
    )
    experiment: str = Field(description="The experiment that the run belongs to.", examples=["flowers"])
    url: str | None = Field(
        description="The run's page; null until it has been logged.",
        examples=["https://mlflow.example/#/experiments/3/runs/5f2c1e0d9b8a47f6a1b2c3d4e5f60718"],
    )
    error: str | None = Field(description="Why the last attempt failed; there is another one while it is `pending`.")


class JobTrackingRead(Shown):
    """Where a job is logged when it ends, and what became of that."""

    mlflow: MLflowTrackingRead = Field(description="On the MLflow server of this service.")

    @classmethod
    def from_job(cls, job: Job, rows: Mapping[str, Tracking]) -> Self | None:
        """None where it is logged nowhere."""
        if job.track is None:
            return None
        row = rows.get(TrackingTarget.MLFLOW)
        if row is None:
            skipped = job.state in TERMINAL_JOB_STATES and job.started_at is None
            state = TrackingState.SKIPPED if skipped else TrackingState.PENDING
        else:
            state = TrackingState(row.state)
        return cls(
            mlflow=MLflowTrackingRead(
                state=state,
                experiment=job.track[TrackingTarget.MLFLOW]["experiment"],
                url=None if row is None else row.url,
                error=None if row is None else row.error,
            )
        )
