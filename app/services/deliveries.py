"""The outbox as workers see it: claim what is due, write down what became of it.

Any number of workers may do so at once. A claim puts the row off beyond the longest attempt and counts `epoch`; what a
lost worker has claimed comes due again by itself, and its late word matches no row.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.db.models import Webhook, WebhookDelivery
from app.db.queries import webhooks as queries
from app.domain.access import Caller
from app.domain.webhooks import DISABLED_AFTER, DeliveryState, EventType, retry_after
from app.services import audit

CLAIM = timedelta(seconds=60)
"""Longer than an attempt may take (`app.outbound.Patience`), its writes included."""
KEPT_ATTEMPTS = 10
"""In a delivery's log."""
ACTOR = "service"
"""Who disables a webhook, in the audit trail."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One claimed delivery, with all that is needed to send it."""

    id: str
    epoch: int
    webhook_id: str
    tenant: str
    host: str
    url: str
    event_id: str
    event_type: str
    body: str
    keys: tuple[str, ...]
    """Secrets to sign it with."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt. It succeeded where there is no `error`."""

    at: datetime
    seconds: float
    status: int | None = None
    error: str | None = None
    answer: str | None = None
    is_gone: bool = False
    """The receiver wants nothing any more."""


class Slots:
    """What one worker may have under way: in all, of one tenant, and to one host of a tenant."""

    def __init__(self, total: int, of_tenant: int, to_host: int, taken: Iterable[Attempt] = ()) -> None:
        self._total, self._of_tenant, self._to_host = total, of_tenant, to_host
        self._hosts = Counter((attempt.tenant, attempt.host) for attempt in taken)
        self._tenants = Counter[str]()
        for (tenant, _), count in self._hosts.items():
            self._tenants[tenant] += count

    @property
    def left(self) -> int:
        return self._total - self._hosts.total()

    @property
    def busy_tenants(self) -> list[str]:
        return [tenant for tenant, count in self._tenants.items() if count >= self._of_tenant]

    @property
    def busy_hosts(self) -> list[tuple[str, str]]:
        return [host for host, count in self._hosts.items() if count >= self._to_host]

    def take(self, tenant: str, host: str) -> bool:
        """False: there is none for it."""
        full = self._tenants[tenant] >= self._of_tenant or self._hosts[tenant, host] >= self._to_host
        if self.left <= 0 or full:
            return False
        self._hosts[tenant, host] += 1
        self._tenants[tenant] += 1
        return True


def claim(session: Session, now: datetime, slots: Slots) -> list[Attempt]:
    """What is due and has a slot, the longest first."""
    attempts: list[Attempt] = []
    waiting = queries.due(session, now, slots.left, busy_tenants=slots.busy_tenants, busy_hosts=slots.busy_hosts)
    for delivery in waiting:
        webhook = session.get_one(Webhook, delivery.webhook_id)
        if not webhook.enabled and delivery.event_type != EventType.TEST:
            _give_up(delivery, now, "The webhook is disabled.")
        elif slots.take(delivery.tenant, delivery.host):
            delivery.epoch += 1
            delivery.next_attempt_at = now + CLAIM
            attempts.append(_attempt(webhook, delivery, now))
    session.flush()
    return attempts


def record(session: Session, attempt: Attempt, outcome: Outcome, now: datetime, jitter: float) -> None:
    """Write down what became of an attempt, and when there is another one.

    Args:
        jitter: 0..1, by how much of what is allowed the next one is put off further.
    """
    webhook = session.get(Webhook, attempt.webhook_id)
    fails = outcome.error is not None
    if webhook is not None and (fails or webhook.failing_since is not None):
        webhook = queries.lock_webhook(session, webhook.id)  # before the delivery, as its deletion does
    if webhook is None:
        return  # deleted, and the delivery with it
    delivery = queries.get_delivery(session, webhook.id, attempt.id)
    if delivery is None:
        return
    tried = delivery.attempts + 1
    is_test = attempt.event_type == EventType.TEST
    wait = None if is_test or outcome.is_gone else retry_after(tried, jitter)
    values: dict[str, Any] = {
        "attempts": tried,
        "status": outcome.status,
        "error": outcome.error,
        "answer": outcome.answer,
        "log": [*delivery.log, _logged(outcome)][-KEPT_ATTEMPTS:],
    }
    if fails and wait is not None:
        values |= {"next_attempt_at": now + wait}
    else:
        state = DeliveryState.FAILED if fails else DeliveryState.SUCCEEDED
        values |= {"state": state, "next_attempt_at": None, "finished_at": now}
    if not queries.record_attempt(session, attempt.id, attempt.epoch, values):
        log.info("%s was claimed again meanwhile; the outcome of this attempt is dropped", attempt.id)
    elif webhook.url is not None:  # the URLs of jobs have nothing to do with each other
        _judge(session, webhook, outcome, now, is_test=is_test)


def prune(session: Session, before: datetime) -> int:
    """Delete some deliveries that were written before this time and are over; how many."""
    return queries.prune_deliveries(session, before)


def _attempt(webhook: Webhook, delivery: WebhookDelivery, now: datetime) -> Attempt:
    url = delivery.url or webhook.url
    assert url is not None, "a delivery to a webhook without a URL has its own"
    keys = [webhook.secret]
    if webhook.old_secret is not None and webhook.old_secret_until is not None and now < webhook.old_secret_until:
        keys.append(webhook.old_secret)
    return Attempt(
        id=delivery.id,
        epoch=delivery.epoch,
        webhook_id=webhook.id,
        tenant=delivery.tenant,
        host=delivery.host,
        url=url,
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        body=delivery.body,
        keys=tuple(keys),
    )


def _give_up(delivery: WebhookDelivery, now: datetime, why: str) -> None:
    delivery.state, delivery.error = DeliveryState.FAILED, why
    delivery.next_attempt_at, delivery.finished_at = None, now


def _judge(session: Session, webhook: Webhook, outcome: Outcome, now: datetime, *, is_test: bool) -> None:
    """A webhook that has failed for days, or whose receiver is gone, is disabled."""
    if outcome.error is None:
        webhook.failing_since = None
    elif not is_test and webhook.enabled:
        webhook.failing_since = webhook.failing_since or outcome.at
        if outcome.is_gone:
            _disable(session, webhook, now, "Its receiver answered 410 Gone.")
        elif now - webhook.failing_since >= DISABLED_AFTER:
            since = webhook.failing_since.strftime("%Y-%m-%d %H:%M UTC")
            _disable(session, webhook, now, f"Every delivery since {since} has failed; the last one: {outcome.error}")
    session.flush()


def _disable(session: Session, webhook: Webhook, now: datetime, reason: str) -> None:
    webhook.enabled, webhook.disabled_reason, webhook.updated_at = False, reason, now
    audit.record(session, Caller(webhook.tenant, ACTOR), "disable_webhook", webhook.id)
    log.warning("The webhook %s of tenant %s is disabled. %s", webhook.id, webhook.tenant, reason)


def _logged(outcome: Outcome) -> dict[str, Any]:
    return {
        "at": outcome.at.isoformat(),
        "seconds": round(outcome.seconds, 3),
        "status": outcome.status,
        "error": outcome.error,
    }
