"""`tdmr webhooks`."""

from __future__ import annotations

import time

import click

from tdmr import Tdmr, models
from tdmr.cli.common import CAME_TO_NOTHING, confirmed, print_facts, print_json, print_table, with_client, yes_option

_PATIENCE = 30.0
"""Longer than the service waits for a receiver."""


@click.group()
def webhooks() -> None:
    """Have the service tell other programs what happens."""


@webhooks.command()
@click.argument("url")
@click.option("--event", "events", multiple=True, help="Such as job.succeeded; may be repeated. [job.*, dataset.*]")
@click.option("--description", help="What it is for.")
@with_client
def create(client: Tdmr, url: str, events: tuple[str, ...], description: str | None, as_json: bool) -> None:
    """Have events sent to URL. The secret is printed once: a receiver verifies events with it.

    \b
    tdmr webhooks create https://ci.example/hook --event job.succeeded --event job.failed
    """
    made = client.webhooks.create(url, description=description, event_types=events or None)
    if as_json:
        print_json(made)
    else:
        print_facts([("id", made.id), ("secret", made.secret)])


@webhooks.command("list")
@with_client
def list_(client: Tdmr, as_json: bool) -> None:
    """List webhooks, newest first."""
    found = client.webhooks.list().to_list()
    if as_json:
        print_json(found)
        return
    rows = ((one.id, one.url, ", ".join(one.event_types), _condition(one), one.description) for one in found)
    print_table(("id", "url", "events", "state", "description"), rows)


@webhooks.command()
@click.argument("webhook")
@with_client
def test(client: Tdmr, webhook: str, as_json: bool) -> None:
    """Send a test event, and say what the receiver answered. The exit status is 5 if it did not take it.

    \b
    tdmr webhooks test whk_01JCZ7Q5W3N0R8V6T4X2Y1A9BC
    """
    _tell(_awaited(client, client.webhooks.test(webhook)), as_json=as_json)


@webhooks.command()
@click.argument("webhook")
@click.option("--state", type=click.Choice(("pending", "succeeded", "failed")), help="Only in this state.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many.")
@with_client
def deliveries(client: Tdmr, webhook: str, state: str | None, limit: int, as_json: bool) -> None:
    """List what was sent to WEBHOOK, newest first; `default` is the webhook_url of jobs."""
    found = client.webhooks.deliveries(webhook, state=state, limit=limit).to_list()
    if as_json:
        print_json(found)
        return
    rows = (
        (one.id, one.state, one.event_type, one.object_id, one.attempts, one.error or one.status, one.created_at)
        for one in found
    )
    print_table(("id", "state", "event", "about", "attempts", "answer", "created"), rows, limit)


@webhooks.command()
@click.argument("webhook")
@click.argument("delivery")
@with_client
def redeliver(client: Tdmr, webhook: str, delivery: str, as_json: bool) -> None:
    """Send DELIVERY again, and say what the receiver answered."""
    _tell(_awaited(client, client.webhooks.redeliver(webhook, delivery)), as_json=as_json)


@webhooks.command()
@click.argument("webhook")
@with_client
def enable(client: Tdmr, webhook: str, as_json: bool) -> None:
    """Take up WEBHOOK again, which was disabled."""
    changed = client.webhooks.update(webhook, enabled=True)
    if as_json:
        print_json(changed)


@webhooks.command()
@click.argument("ids", nargs=-1, required=True, metavar="WEBHOOK…")
@yes_option
@with_client
def rm(client: Tdmr, ids: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Delete webhooks with their deliveries, those that wait to be sent included."""
    if not confirmed(f"Delete {', '.join(ids)}?", yes=yes):
        return
    for webhook in ids:
        client.webhooks.delete(webhook)
    if as_json:
        print_json({"deleted": list(ids)})


def _awaited(client: Tdmr, delivery: models.Delivery) -> models.Delivery:
    """After its first attempt, if that comes in time."""
    give_up = time.monotonic() + _PATIENCE
    while delivery.state == "pending" and not delivery.attempts and time.monotonic() < give_up:
        time.sleep(0.5)
        delivery = client.webhooks.delivery(delivery.webhook_id, delivery.id)
    return delivery


def _tell(delivery: models.Delivery, *, as_json: bool) -> None:
    if as_json:
        print_json(delivery)
    else:
        said = "delivered" if delivery.state == "succeeded" else delivery.error or "not sent yet"
        click.echo(f"{delivery.id}  {said}")
    if delivery.error:
        click.get_current_context().exit(CAME_TO_NOTHING)


def _condition(webhook: models.Webhook) -> str:
    if not webhook.enabled:
        return "disabled"
    return f"failing since {webhook.failing_since:%F %H:%M}" if webhook.failing_since else "ready"
