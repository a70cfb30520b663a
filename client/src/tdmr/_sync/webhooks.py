# Generated from _async by client/tools; not to be edited.
"""Webhooks: what the service tells of by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tdmr import models
from tdmr._bound import parse
from tdmr._sync._pages import Pages
from tdmr._sync._transport import Transport

_PATH = "/v1/webhooks"
AnyWebhook = models.Webhook | models.WebhookSecret | str
"""Its id stands for it."""


class Webhooks:
    """`client.webhooks`. Wherever a webhook or a delivery is asked for, its id will do; `default` is the webhook that
    stands for the `webhook_url` of your jobs."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self, url: str, *, description: str | None = None, event_types: Sequence[str] | None = None
    ) -> models.WebhookSecret:
        """Have events sent to `url`. Keep the `secret` of the answer: a receiver verifies events with it, and nothing
        else returns it.

        Args:
            event_types: such as `job.succeeded`. All of jobs and data sets unless given.

        Raises:
            problems.WebhookExists: the URL has one.
        """
        body = _given(url=url, description=description, event_types=_listed(event_types))
        return parse(models.WebhookSecret, self._transport.json("POST", _PATH, json=body))

    def list(self, *, limit: int | None = None) -> Pages[models.Webhook]:
        """All webhooks, newest first, without `default`."""
        return Pages(self._transport, _PATH, models.Webhook.model_validate, {}, limit)

    def get(self, webhook: AnyWebhook) -> models.Webhook:
        """Whether it is enabled, and since when its deliveries fail."""
        return parse(models.Webhook, self._transport.json("GET", _path(webhook)))

    def update(
        self,
        webhook: AnyWebhook,
        *,
        url: str | None = None,
        description: str | None = None,
        event_types: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> models.Webhook:
        """Change what is given. `enabled=True` takes up one again that was disabled."""
        body = _given(url=url, description=description, event_types=_listed(event_types), enabled=enabled)
        return parse(models.Webhook, self._transport.json("PATCH", _path(webhook), json=body, repeatable=True))

    def delete(self, webhook: AnyWebhook) -> None:
        """Delete it with its deliveries, those that wait to be sent included."""
        self._transport.request("DELETE", _path(webhook))

    def rotate_secret(self, webhook: AnyWebhook) -> models.WebhookSecret:
        """Make a new secret. For 24 hours events are signed with the old one too."""
        return parse(models.WebhookSecret, self._transport.json("POST", f"{_path(webhook)}/rotate-secret"))

    def test(self, webhook: AnyWebhook) -> models.Delivery:
        """Send an event `webhook.test`; `delivery` says within seconds what became of it."""
        return parse(models.Delivery, self._transport.json("POST", f"{_path(webhook)}/test"))

    def deliveries(
        self, webhook: AnyWebhook, *, state: str | None = None, limit: int | None = None
    ) -> Pages[models.Delivery]:
        """What was sent and what waits, newest first.

        Args:
            state: only those in this state, such as `failed`.
        """
        path, params = f"{_path(webhook)}/deliveries", {"state": state}
        return Pages(self._transport, path, models.Delivery.model_validate, params, limit)

    def delivery(self, webhook: AnyWebhook, delivery: models.Delivery | str) -> models.Delivery:
        """What is sent, each attempt, and when the next one is due."""
        found = self._transport.json("GET", _path_of_delivery(webhook, delivery))
        return parse(models.Delivery, found)

    def redeliver(self, webhook: AnyWebhook, delivery: models.Delivery | str) -> models.Delivery:
        """Send the same event again, at once."""
        found = self._transport.json("POST", f"{_path_of_delivery(webhook, delivery)}/redeliver")
        return parse(models.Delivery, found)


def _path(webhook: AnyWebhook) -> str:
    return f"{_PATH}/{webhook if isinstance(webhook, str) else webhook.id}"


def _path_of_delivery(webhook: AnyWebhook, delivery: models.Delivery | str) -> str:
    return f"{_path(webhook)}/deliveries/{delivery if isinstance(delivery, str) else delivery.id}"


def _listed(values: Sequence[str] | None) -> Sequence[str] | None:
    return None if values is None else [*values]


def _given(**values: Any) -> Mapping[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
