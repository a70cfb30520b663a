"""The JSON of webhooks and their deliveries."""

import json
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from app.db import models
from app.domain.names import Text
from app.domain.urls import WebUrl
from app.domain.webhooks import ALL, DeliveryState, EventType, Subscription

_URL = "Where events are sent with POST. Only a public address, unless the operator allows another."
_EVENT_TYPES = "The types of events that are sent; `job.*` and `dataset.*` stand for all of a kind."


class WebhookCreate(BaseModel):
    """A new webhook."""

    model_config = ConfigDict(extra="forbid")

    url: WebUrl = Field(description=_URL, examples=["https://example.com/hooks/tdmr"])
    description: Text = Field(default="", description="What it is for.", examples=["tells the chat"])
    event_types: list[Subscription] = Field(
        default=list(ALL),
        min_length=1,
        max_length=20,
        description=_EVENT_TYPES,
        examples=[["job.succeeded", "job.failed", "dataset.*"]],
    )
    enabled: StrictBool = Field(default=True, description="Whether events are sent to it.")


class WebhookUpdate(BaseModel):
    """What to change of a webhook; what is left out or null stays as it is."""

    model_config = ConfigDict(extra="forbid")

    url: WebUrl | None = Field(default=None, description=f"{_URL} Deliveries that wait go there too.")
    description: Text | None = Field(default=None, description="What it is for.")
    event_types: list[Subscription] | None = Field(default=None, min_length=1, max_length=20, description=_EVENT_TYPES)
    enabled: StrictBool | None = Field(
        default=None, description="True takes up a webhook again that the service or its owner has disabled."
    )

    def changes(self) -> dict[str, Any]:
        """By column."""
        return self.model_dump(mode="json", exclude_none=True)


class WebhookRead(BaseModel):
    """A webhook without its secret."""

    id: str = Field(description="Its id.", examples=["wh_01JCZ7Q5W3N0R8V6T4X2Y1A9BC"])
    object: Literal["webhook"] = Field(default="webhook", description="The kind of this object.")
    url: str | None = Field(
        description="Where events are sent. Null for `default`, which stands for the `webhook_url` of jobs."
    )
    description: str = Field(description="What it is for.")
    event_types: list[str] = Field(description=_EVENT_TYPES)
    enabled: bool = Field(description="Whether events are sent to it.")
    disabled_reason: str | None = Field(description="Why the service has disabled it; null if it has not.")
    failing_since: datetime | None = Field(
        description="The first failed attempt since one succeeded. After five days it is disabled."
    )
    old_secret_until: datetime | None = Field(
        description="After a rotation: until then, deliveries are signed with the old secret too."
    )
    created_at: datetime = Field(description="When it was created.")
    updated_at: datetime = Field(description="When it was last changed.")

    @classmethod
    def from_row(cls, webhook: models.Webhook, **more: Any) -> Self:
        return cls(
            id=webhook.id,
            url=webhook.url,
            description=webhook.description,
            event_types=webhook.event_types,
            enabled=webhook.enabled,
            disabled_reason=webhook.disabled_reason,
            failing_since=webhook.failing_since,
            old_secret_until=webhook.old_secret_until,
            created_at=webhook.created_at,
            updated_at=webhook.updated_at,
            **more,
        )


class WebhookSecret(WebhookRead):
    """A webhook with its secret. Only this answer contains it."""

    secret: str = Field(
        description="Verify deliveries with it: any library for Standard Webhooks takes it as it is.",
        examples=["whsec_…"],
    )


class DeliveryAttempt(BaseModel):
    """One request to the receiver."""

    at: datetime = Field(description="When it was begun.")
    seconds: float = Field(description="How long it took.")
    status: int | None = Field(description="HTTP status of the answer; null if there was none.")
    error: str | None = Field(description="Why it failed; null if it succeeded.")


class DeliveryRead(BaseModel):
    """An event for one receiver, and what became of it."""

    id: str = Field(description="Its id.", examples=["dlv_01JCZ7Q5W3N0R8V6T4X2Y1A9BC"])
    object: Literal["webhook_delivery"] = Field(default="webhook_delivery", description="The kind of this object.")
    webhook_id: str = Field(description="The webhook that it is for.")
    url: str | None = Field(description="The job's `webhook_url`; null if it goes to the webhook's own URL.")
    event_id: str = Field(description="The event; the same for all receivers and attempts. Sent as `webhook-id`.")
    event_type: EventType = Field(description="What it tells.")
    object_id: str = Field(description="Id of the job, data set or webhook that it is about.")
    state: DeliveryState = Field(
        description="`pending` while there is another attempt to come; `succeeded` once the receiver has answered 2xx; "
        "`failed` after the last attempt."
    )
    attempts: int = Field(description="Attempts that were made; counted from 0 again when it is redelivered.")
    next_attempt_at: datetime | None = Field(description="When the next attempt is due; null if there is none.")
    status: int | None = Field(description="HTTP status of the last answer.")
    error: str | None = Field(description="Why the last attempt failed; null if it succeeded.")
    answer: str | None = Field(description="The first 1,024 bytes of the last answer's body.")
    log: list[DeliveryAttempt] = Field(description="The last ten attempts, oldest first.")
    event: dict[str, Any] = Field(description="The body that is sent.")
    created_at: datetime = Field(description="When the event happened.")
    finished_at: datetime | None = Field(description="When it was received, or given up.")

    @classmethod
    def from_row(cls, delivery: models.WebhookDelivery) -> Self:
        return cls(
            id=delivery.id,
            webhook_id=delivery.webhook_id,
            url=delivery.url,
            event_id=delivery.event_id,
            event_type=EventType(delivery.event_type),
            object_id=delivery.object_id,
            state=DeliveryState(delivery.state),
            attempts=delivery.attempts,
            next_attempt_at=delivery.next_attempt_at,
            status=delivery.status,
            error=delivery.error,
            answer=delivery.answer,
            log=delivery.log,
            event=json.loads(delivery.body),
            created_at=delivery.created_at,
            finished_at=delivery.finished_at,
        )
