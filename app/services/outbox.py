"""What webhooks are told is written down in the transaction of the event, so neither is there without the other.
Workers send it (`worker/webhooks.py`)."""

from collections.abc import Iterable
from typing import Any, cast

from sqlalchemy import Table, insert
from sqlalchemy.orm import Session

from app.db.ids import new_id
from app.db.models import Dataset, Job, Webhook, WebhookDelivery, utcnow
from app.db.queries import webhooks as queries
from app.domain.states import DatasetState
from app.domain.urls import address_of
from app.domain.webhooks import (
    DEFAULT,
    DatasetNews,
    DeliveryState,
    EventType,
    JobNews,
    WebhookEvent,
    WebhookNews,
    is_wanted,
)
from app.services.signing import new_secret

Address = tuple[str, str, str | None]
"""Id of a webhook, the URL, and again the URL where it is not the webhook's own."""

# into the table: half the price of an object that nobody asks for again
_INSERT = insert(cast(Table, WebhookDelivery.__table__))


def tell_job(session: Session, job: Job, *, reason: str, seq: int) -> None:
    """The job has entered its state: by its event number `seq`, for `reason`."""
    event = EventType(f"job.{job.state}")
    addresses = _addresses(session, job.tenant, event)
    if job.webhook_url is not None:
        addresses.append((default(session, job.tenant).id, job.webhook_url, job.webhook_url))
    if not addresses:
        return
    news = JobNews(
        id=job.id,
        state=job.state,
        reason=reason,
        seq=seq,
        dataset_id=job.dataset_id,
        progress=job.progress,
        error=job.error,
        metadata=job.user_metadata,
    )
    _write(session, job.tenant, event, news, addresses)


def tell_dataset(session: Session, dataset: Dataset) -> None:
    """The import has ended, with a verdict or a question."""
    if dataset.state == DatasetState.VALIDATING:
        return  # the question was answered; whoever answered knows
    event = EventType(f"dataset.{dataset.state}")
    addresses = _addresses(session, dataset.tenant, event)
    if not addresses:
        return
    summary = dataset.summary or {}
    news = DatasetNews(
        id=dataset.id,
        state=dataset.state,
        name=dataset.name,
        images=summary.get("images"),
        class_count=summary.get("class_count"),
        error=dataset.error,
    )
    _write(session, dataset.tenant, event, news, addresses)


def tell_test(session: Session, webhook: Webhook) -> str:
    """Its owner wants to see a delivery. Returns the delivery's id."""
    assert webhook.url is not None
    address = (webhook.id, webhook.url, None)
    (delivery_id,) = _write(session, webhook.tenant, EventType.TEST, WebhookNews(id=webhook.id), [address])
    return delivery_id


def default(session: Session, tenant: str) -> Webhook:
    """The webhook that stands for the `webhook_url` of the tenant's jobs."""
    found = queries.get_webhook(session, tenant, DEFAULT)
    if found is None:
        queries.ensure_default(session, tenant, new_secret())
        found = queries.get_webhook(session, tenant, DEFAULT)
    assert found is not None, "made a line above"
    return found


def _addresses(session: Session, tenant: str, event: EventType) -> list[Address]:
    return [
        (to.webhook_id, to.url, None) for to in queries.receivers(session, tenant) if is_wanted(event, to.event_types)
    ]


def _write(
    session: Session,
    tenant: str,
    event: EventType,
    news: JobNews | DatasetNews | WebhookNews,
    addresses: Iterable[Address],
) -> list[str]:
    now, event_id = utcnow(), new_id("evt")
    body = WebhookEvent(id=event_id, type=event, timestamp=now, data=news).model_dump_json(ensure_ascii=True)
    rows: list[dict[str, Any]] = [
        {
            "id": new_id("dlv"),
            "webhook_id": webhook_id,
            "tenant": tenant,
            "url": own_url,
            "host": address_of(url).server,
            "event_id": event_id,
            "event_type": event.value,
            "object_id": news.id,
            "body": body,
            "state": DeliveryState.PENDING.value,
            "next_attempt_at": now,
            "created_at": now,
        }
        for webhook_id, url, own_url in addresses
    ]
    session.execute(_INSERT, rows)
    return [str(row["id"]) for row in rows]
