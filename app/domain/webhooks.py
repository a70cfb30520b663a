"""What webhooks tell, to whom, and how often it is tried."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, Field

RETRY_SECONDS = (5.0, 5 * 60.0, 30 * 60.0, 2 * 3600.0, 5 * 3600.0, 10 * 3600.0)
"""Between a failed attempt and the next one; the first attempt is made at once."""
JITTER = 0.1
"""Each wait is up to this share longer, so that a receiver that comes back is not met by everything at once."""
MOST_ATTEMPTS = 1 + len(RETRY_SECONDS)
ROTATION = timedelta(hours=24)
"""For so long after a rotation, deliveries are signed with the old secret too."""
DISABLED_AFTER = timedelta(days=5)
"""A webhook whose deliveries have all failed for so long is disabled."""
KEPT_ANSWER_BYTES = 1024
DEFAULT = "default"
"""In the place of a webhook's id: what is sent to the `webhook_url` of jobs."""


class EventType(StrEnum):
    """What happened."""

    JOB_QUEUED = "job.queued"
    JOB_RUNNING = "job.running"
    JOB_PAUSED = "job.paused"
    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    DATASET_READY = "dataset.ready"
    DATASET_NEEDS_ANSWER = "dataset.needs_answer"
    DATASET_REJECTED = "dataset.rejected"
    TEST = "webhook.test"
    """Sent on demand, whatever types the webhook is subscribed to."""


class Subscription(StrEnum):
    """A type of event, or all of a kind."""

    ALL_JOBS = "job.*"
    ALL_DATASETS = "dataset.*"
    JOB_QUEUED = EventType.JOB_QUEUED
    JOB_RUNNING = EventType.JOB_RUNNING
    JOB_PAUSED = EventType.JOB_PAUSED
    JOB_SUCCEEDED = EventType.JOB_SUCCEEDED
    JOB_FAILED = EventType.JOB_FAILED
    JOB_CANCELLED = EventType.JOB_CANCELLED
    DATASET_READY = EventType.DATASET_READY
    DATASET_NEEDS_ANSWER = EventType.DATASET_NEEDS_ANSWER
    DATASET_REJECTED = EventType.DATASET_REJECTED


ALL = (Subscription.ALL_JOBS, Subscription.ALL_DATASETS)


class DeliveryState(StrEnum):
    """`pending` until it has been received or given up."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


def is_wanted(event: str, subscribed: Iterable[str]) -> bool:
    """Whether an event of this type is sent to who has subscribed to these."""
    kind = event.partition(".")[0]
    return any(one in {event, f"{kind}.*"} for one in subscribed)


def retry_after(attempts: int, jitter: float) -> timedelta | None:
    """How long to wait after so many failed attempts; None: give up.

    Args:
        jitter: 0..1, of the longest.
    """
    if attempts >= MOST_ATTEMPTS:
        return None
    return timedelta(seconds=RETRY_SECONDS[attempts - 1] * (1 + JITTER * jitter))


class JobNews(BaseModel):
    """A job as it was at the time of the event."""

    id: str = Field(description="`GET /v1/jobs/{id}` has the whole job as it is now.")
    object: Literal["job"] = "job"
    state: str = Field(description="The state that it has entered.", examples=["succeeded"])
    reason: str = Field(description="The event's `code`, as `GET /v1/jobs/{id}/events` has it.", examples=["succeeded"])
    seq: int = Field(description="Number of the event within the job: of two that arrive, the higher one is newer.")
    dataset_id: str = Field(description="The data set that it runs on.")
    progress: float = Field(description="Progress of the whole job, 0 to 1.")
    error: dict[str, Any] | None = Field(description="Of a failed job: `code`, `title`, `detail`, `hint`.")
    metadata: dict[str, str] = Field(description="Your own labels, as they came with the job.")


class DatasetNews(BaseModel):
    """A data set as it was at the time of the event."""

    id: str = Field(description="`GET /v1/datasets/{id}` has the whole data set.")
    object: Literal["dataset"] = "dataset"
    state: str = Field(description="`ready`, `rejected` or `needs_answer`.", examples=["ready"])
    name: str = Field(description="Name of the uploaded archive.")
    images: int | None = Field(description="Number of usable images; null unless it is ready.")
    class_count: int | None = Field(description="Number of classes; null unless it is ready.")
    error: dict[str, Any] | None = Field(description="Of one that was rejected: `code`, `title`, `detail`, `hint`.")


class WebhookNews(BaseModel):
    """The webhook that was tested."""

    id: str = Field(description="Id of the webhook.")
    object: Literal["webhook"] = "webhook"


class WebhookEvent(BaseModel):
    """The body of a delivery."""

    id: str = Field(
        description="The event, for all its receivers and attempts; also the header `webhook-id`.",
        examples=["evt_01JCZ7R2M4K6H8G0F1E3D5C7B9"],
    )
    object: Literal["event"] = "event"
    type: EventType = Field(description="What it tells.")
    timestamp: datetime = Field(description="When it happened.")
    data: JobNews | DatasetNews | WebhookNews = Field(description="What it happened to.")
