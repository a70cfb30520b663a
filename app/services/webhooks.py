"""Webhooks as their owners see them: registered, changed, tried out; and what was sent to them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from app.db.ids import new_id
from app.db.models import Webhook, WebhookDelivery, utcnow
from app.db.queries import access
from app.db.queries import webhooks as queries
from app.db.queries.page import Page
from app.domain.access import Caller
from app.domain.addresses import Destinations
from app.domain.errors import NotFound, StateConflict, TooManyWebhooks, WebhookExists
from app.domain.urls import address_of
from app.domain.webhooks import DEFAULT, ROTATION, DeliveryState, Subscription
from app.services import audit, outbox
from app.services.signing import new_secret


def create(
    session: Session,
    caller: Caller,
    destinations: Destinations,
    *,
    url: str,
    description: str,
    event_types: Sequence[Subscription],
    enabled: bool,
    most: int,
) -> Webhook:
    """A new webhook; its `secret` is to be shown now and never again.

    Args:
        most: webhooks that the tenant may have.

    Raises:
        DestinationRefused: if the URL names an address that may not be connected to.
        WebhookExists: if the tenant has one with this URL.
        TooManyWebhooks: if it has `most`.
    """
    require_allowed(destinations, url, "url")
    access.lock_tenant(session, caller.tenant)  # the count is exact, also when several requests arrive at once
    _require_new(session, caller.tenant, url)
    if queries.count_webhooks(session, caller.tenant) >= most:
        raise TooManyWebhooks(
            f"You have {most:,} webhooks, as many as you may have.",
            hint="Delete one that you no longer need, or ask the operator for more (TDMR_MAX_WEBHOOKS).",
        )
    now = utcnow()
    webhook = Webhook(
        id=new_id("wh"),
        tenant=caller.tenant,
        url=url,
        description=description,
        event_types=[one.value for one in event_types],
        enabled=enabled,
        secret=new_secret(),
        created_at=now,
        updated_at=now,
    )
    session.add(webhook)
    session.flush()
    audit.record(session, caller, "create_webhook", webhook.id)
    return webhook


def find(session: Session, tenant: str, webhook_id: str) -> Webhook:
    """By its id; `default` is the one of jobs' `webhook_url`, there once it has been needed.

    Raises:
        NotFound: if there is none, or it belongs to someone else.
    """
    webhook = queries.get_webhook(session, tenant, webhook_id)
    if webhook is None:
        raise NotFound("There is no such webhook.", hint="GET /v1/webhooks lists your webhooks.")
    return webhook


def page(session: Session, tenant: str, *, after: str | None, limit: int) -> Page[Webhook]:
    """Newest first, without the one called `default`."""
    return queries.list_webhooks(session, tenant, after=after, limit=limit)


def update(
    session: Session,
    caller: Caller,
    destinations: Destinations,
    webhook_id: str,
    changes: dict[str, Any],
) -> Webhook:
    """Change those of `url`, `description`, `event_types` and `enabled` that are given. What waits to be sent goes to
    the new URL. Enabling forgets why it was disabled.

    Raises:
        NotFound, StateConflict: if there is none; if it is the one called `default`.
        DestinationRefused, WebhookExists: as `create`.
    """
    url = changes.get("url")
    if url is not None:
        require_allowed(destinations, url, "url")
        access.lock_tenant(session, caller.tenant)
    webhook = _locked(session, caller.tenant, webhook_id)
    _require_own_url(webhook)
    if url is not None and url != webhook.url:
        _require_new(session, caller.tenant, url)
        queries.readdress(session, webhook.id, address_of(url).server)
    for name, value in changes.items():
        setattr(webhook, name, value)
    if changes.get("enabled"):
        webhook.disabled_reason, webhook.failing_since = None, None
    webhook.updated_at = utcnow()
    session.flush()
    audit.record(session, caller, "update_webhook", webhook.id)
    return webhook


def delete(session: Session, caller: Caller, webhook_id: str) -> None:
    """Remove it with its deliveries; what is being sent at this moment still arrives.

    Raises:
        NotFound, StateConflict: as `update`.
    """
    webhook = find(session, caller.tenant, webhook_id)
    _require_own_url(webhook)
    session.delete(webhook)
    session.flush()
    audit.record(session, caller, "delete_webhook", webhook.id)


def rotate_secret(session: Session, caller: Caller, webhook_id: str) -> Webhook:
    """A new secret, to be shown now and never again. The old one signs beside it for a day.

    Raises:
        NotFound: if there is none.
    """
    if webhook_id == DEFAULT:
        webhook_id = outbox.default(session, caller.tenant).id
    webhook = _locked(session, caller.tenant, webhook_id)
    webhook.old_secret, webhook.old_secret_until = webhook.secret, utcnow() + ROTATION
    webhook.secret = new_secret()
    webhook.updated_at = utcnow()
    session.flush()
    audit.record(session, caller, "rotate_webhook_secret", webhook.id)
    return webhook


def test(session: Session, caller: Caller, webhook_id: str) -> WebhookDelivery:
    """Send an event `webhook.test` once, to a disabled webhook too.

    Raises:
        NotFound, StateConflict: as `update`.
    """
    webhook = _locked(session, caller.tenant, webhook_id)
    _require_own_url(webhook)
    delivery_id = outbox.tell_test(session, webhook)
    audit.record(session, caller, "test_webhook", webhook.id)
    return _delivery(session, webhook, delivery_id)


def deliveries(
    session: Session, tenant: str, webhook_id: str, *, state: DeliveryState | None, after: str | None, limit: int
) -> Page[WebhookDelivery]:
    """What was sent to it or waits to be, newest first.

    Raises:
        NotFound: if there is no such webhook.
    """
    webhook = find(session, tenant, webhook_id)
    return queries.list_deliveries(session, webhook.id, state=state, after=after, limit=limit)


def delivery(session: Session, tenant: str, webhook_id: str, delivery_id: str) -> WebhookDelivery:
    """
    Raises:
        NotFound: if there is no such webhook or no such delivery.
    """
    return _delivery(session, find(session, tenant, webhook_id), delivery_id)


def redeliver(session: Session, caller: Caller, webhook_id: str, delivery_id: str) -> WebhookDelivery:
    """Send the same event again, at once and with all attempts; one that waits for its next attempt is only put first.

    Raises:
        NotFound: as `delivery`.
        StateConflict: if the webhook is disabled.
    """
    webhook = _locked(session, caller.tenant, webhook_id)
    if not webhook.enabled:
        raise StateConflict("The webhook is disabled.", hint='Enable it first: PATCH it with {"enabled": true}.')
    found = _delivery(session, webhook, delivery_id, lock=True)
    if found.state != DeliveryState.PENDING:
        found.state, found.attempts, found.finished_at = DeliveryState.PENDING, 0, None
    found.next_attempt_at = utcnow()
    found.epoch += 1  # an attempt that is under way has nothing to say any more
    session.flush()
    audit.record(session, caller, "redeliver_webhook_delivery", found.id)
    return found


def require_allowed(destinations: Destinations, url: str, param: str) -> None:
    """Refuse at once what no delivery could reach. Names are not resolved here: what they lead to is judged with each
    attempt, by who connects.

    Raises:
        DestinationRefused: if the URL names an address that may not be connected to.
    """
    destinations.require_literal(address_of(url).host, param)


def _locked(session: Session, tenant: str, webhook_id: str) -> Webhook:
    webhook = queries.lock_webhook(session, find(session, tenant, webhook_id).id)
    if webhook is None:  # deleted by another while this one waited for the lock
        raise NotFound("There is no such webhook.", hint="GET /v1/webhooks lists your webhooks.")
    return webhook


def _delivery(session: Session, webhook: Webhook, delivery_id: str, *, lock: bool = False) -> WebhookDelivery:
    found = queries.get_delivery(session, webhook.id, delivery_id, lock=lock)
    if found is None:
        raise NotFound(
            "There is no such delivery.", hint="GET /v1/webhooks/{id}/deliveries lists them; old ones are deleted."
        )
    return found


def _require_own_url(webhook: Webhook) -> None:
    if webhook.url is None:
        raise StateConflict(
            "The webhook `default` stands for the `webhook_url` of jobs: it has no URL of its own, and stays.",
            hint="Only its secret can be rotated.",
        )


def _require_new(session: Session, tenant: str, url: str) -> None:
    if (other := queries.with_url(session, tenant, url)) is not None:
        raise WebhookExists(
            f"The webhook {other} has this URL.",
            hint=f"PATCH /v1/webhooks/{other} changes it; POST /v1/webhooks/{other}/rotate-secret gives a new secret.",
            param="url",
        )
