"""Queries about webhooks and the outbox."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import CursorResult, bindparam, delete, exists, func, select, tuple_, update
from sqlalchemy.orm import Session

from app.db.engine import insert
from app.db.ids import id_at, is_id, new_id
from app.db.models import Webhook, WebhookDelivery, utcnow
from app.db.queries.page import Page, page_of
from app.domain.webhooks import ALL, DEFAULT, DeliveryState

PRUNED_AT_ONCE = 1000
"""SQLite has one writer at a time, who should not be kept waiting."""

# Built once: every event asks. Locked against its deletion until the event is committed, since the delivery names it.
_RECEIVERS = (
    select(Webhook.id, Webhook.url, Webhook.event_types)
    .where(Webhook.tenant == bindparam("tenant"), Webhook.enabled, Webhook.url.is_not(None))
    .with_for_update(read=True, key_share=True)
)
_IS_PENDING = WebhookDelivery.state == DeliveryState.PENDING


class Receiver(NamedTuple):
    """Where a tenant's events go."""

    webhook_id: str
    url: str
    event_types: Sequence[str]


def receivers(session: Session, tenant: str) -> list[Receiver]:
    """The tenant's webhooks that are enabled, whatever they want to hear."""
    return [Receiver(*row) for row in session.execute(_RECEIVERS, {"tenant": tenant})]


def get_webhook(session: Session, tenant: str, webhook_id: str) -> Webhook | None:
    """By its id, or the one called `default`."""
    statement = select(Webhook).where(Webhook.tenant == tenant)
    if webhook_id == DEFAULT:
        return session.scalar(statement.where(Webhook.url.is_(None)))
    if not is_id(webhook_id, "wh"):
        return None
    return session.scalar(statement.where(Webhook.id == webhook_id))


def ensure_default(session: Session, tenant: str, secret: str) -> None:
    """Make the tenant's webhook without a URL, if there is none."""
    now = utcnow()
    values: dict[str, Any] = {
        "id": new_id("wh"),
        "tenant": tenant,
        "url": None,
        "description": "The `webhook_url` of jobs",
        "event_types": [one.value for one in ALL],
        "enabled": True,
        "secret": secret,
        "created_at": now,
        "updated_at": now,
    }
    session.execute(insert(session, Webhook).values(**values).on_conflict_do_nothing())


def lock_webhook(session: Session, webhook_id: str) -> Webhook | None:
    """Nobody else changes or deletes it until the transaction ends; events still find it. To be taken before the lock
    on one of its deliveries, as its deletion does."""
    statement = select(Webhook).where(Webhook.id == webhook_id).with_for_update(key_share=True)
    return session.scalar(statement.execution_options(populate_existing=True))


def list_webhooks(session: Session, tenant: str, *, after: str | None, limit: int) -> Page[Webhook]:
    statement = select(Webhook).where(Webhook.tenant == tenant, Webhook.url.is_not(None)).order_by(Webhook.id.desc())
    if after is not None:
        statement = statement.where(Webhook.id < after)
    return page_of(session, statement, limit)


def count_webhooks(session: Session, tenant: str) -> int:
    """Without the one called `default`."""
    own = (Webhook.tenant == tenant, Webhook.url.is_not(None))
    return session.scalar(select(func.count()).select_from(Webhook).where(*own)) or 0


def with_url(session: Session, tenant: str, url: str) -> str | None:
    """The id of the tenant's webhook that has this URL."""
    return session.scalar(select(Webhook.id).where(Webhook.tenant == tenant, Webhook.url == url).limit(1))


def get_delivery(session: Session, webhook_id: str, delivery_id: str, *, lock: bool = False) -> WebhookDelivery | None:
    if not is_id(delivery_id, "dlv"):
        return None
    one = (WebhookDelivery.id == delivery_id, WebhookDelivery.webhook_id == webhook_id)
    statement = select(WebhookDelivery).where(*one)
    return session.scalar(statement.with_for_update() if lock else statement)


def list_deliveries(
    session: Session, webhook_id: str, *, state: DeliveryState | None, after: str | None, limit: int
) -> Page[WebhookDelivery]:
    """Newest first."""
    statement = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
    if state is not None:
        statement = statement.where(WebhookDelivery.state == state)
    if after is not None:
        statement = statement.where(WebhookDelivery.id < after)
    return page_of(session, statement.order_by(WebhookDelivery.id.desc()), limit)


def readdress(session: Session, webhook_id: str, host: str) -> None:
    """What waits to be sent to it goes to another host now."""
    waits = (WebhookDelivery.webhook_id == webhook_id, _IS_PENDING)
    session.execute(update(WebhookDelivery).where(*waits).values(host=host))


def is_any_due(session: Session, now: datetime) -> bool:
    """Whether something waits to be sent; cheap, and takes no lock."""
    return bool(session.scalar(select(exists().where(_IS_PENDING, WebhookDelivery.next_attempt_at <= now))))


def due(
    session: Session,
    now: datetime,
    limit: int,
    *,
    busy_tenants: Collection[str],
    busy_hosts: Collection[tuple[str, str]],
) -> Sequence[WebhookDelivery]:
    """What is due, the longest first, of others than these tenants, and these hosts of tenants. Locked; what another
    worker has locked is passed over."""
    statement = select(WebhookDelivery).where(_IS_PENDING, WebhookDelivery.next_attempt_at <= now)
    if busy_tenants:
        statement = statement.where(WebhookDelivery.tenant.not_in(busy_tenants))
    if busy_hosts:
        statement = statement.where(tuple_(WebhookDelivery.tenant, WebhookDelivery.host).not_in(busy_hosts))
    statement = statement.order_by(WebhookDelivery.next_attempt_at).limit(limit)
    return session.scalars(statement.with_for_update(skip_locked=True)).all()


def record_attempt(session: Session, delivery_id: str, epoch: int, values: dict[str, Any]) -> bool:
    """The outcome of the claim number `epoch`. False: it was claimed again, ended or deleted meanwhile."""
    own = (WebhookDelivery.id == delivery_id, WebhookDelivery.epoch == epoch, _IS_PENDING)
    statement = update(WebhookDelivery).where(*own).values(values).returning(WebhookDelivery.id)
    return session.execute(statement).first() is not None


def prune_deliveries(session: Session, before: datetime) -> int:
    """Delete some that were written before this time and are over; how many."""
    old = (WebhookDelivery.id < id_at("dlv", before), WebhookDelivery.state != DeliveryState.PENDING)
    some = select(WebhookDelivery.id).where(*old).order_by(WebhookDelivery.id).limit(PRUNED_AT_ONCE)
    statement = delete(WebhookDelivery).where(WebhookDelivery.id.in_(some))
    result = session.execute(statement, execution_options={"synchronize_session": False})
    assert isinstance(result, CursorResult)
    return result.rowcount
