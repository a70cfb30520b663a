"""Webhooks: register a receiver, try it, see what was sent to it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Response

from app.api.deps import AppSettings, CurrentCaller, ReadSession, WriteSession
from app.api.openapi import LOCATION, problems
from app.api.params import AfterDelivery, AfterWebhook, Limit, expect_json
from app.api.schemas.common import ListPage
from app.api.schemas.webhooks import DeliveryRead, WebhookCreate, WebhookRead, WebhookSecret, WebhookUpdate
from app.db.models import WebhookDelivery
from app.domain.errors import (
    DestinationRefused,
    MalformedRequest,
    NotFound,
    StateConflict,
    TooLarge,
    TooManyWebhooks,
    UnsupportedMediaType,
    WebhookExists,
)
from app.domain.webhooks import DeliveryState, WebhookEvent
from app.services import webhooks

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])
sent = APIRouter()

WebhookId = Annotated[str, Path(description="Id of the webhook, or `default` for the `webhook_url` of jobs.")]
DeliveryId = Annotated[str, Path(description="Id of the delivery.")]
_BODY = (MalformedRequest, TooLarge, UnsupportedMediaType)


@router.post(
    "",
    operation_id="create_webhook",
    summary="Create a webhook",
    status_code=201,
    dependencies=[Depends(expect_json)],
    responses={
        201: {"headers": LOCATION},
        **problems(WebhookExists, TooManyWebhooks, DestinationRefused, *_BODY),
    },
)
def create_webhook(
    wanted: WebhookCreate, caller: CurrentCaller, session: WriteSession, settings: AppSettings, response: Response
) -> WebhookSecret:
    """Events are sent to `url` from now on. Only this answer contains the `secret` with which a receiver verifies them:
    store it. A URL has one webhook, so a repeated request gets a 409 that names it."""
    webhook = webhooks.create(
        session,
        caller,
        settings.destinations,
        url=wanted.url,
        description=wanted.description,
        event_types=wanted.event_types,
        enabled=wanted.enabled,
        most=settings.max_webhooks,
    )
    response.headers["Location"] = f"/v1/webhooks/{webhook.id}"
    response.headers["Cache-Control"] = "no-store"
    return WebhookSecret.from_row(webhook, secret=webhook.secret)


@router.get("", operation_id="list_webhooks", summary="List webhooks")
def list_webhooks(
    caller: CurrentCaller, session: ReadSession, after: AfterWebhook = None, limit: Limit = 20
) -> ListPage[WebhookRead]:
    """Newest first, without their secrets, and without `default`."""
    page = webhooks.page(session, caller.tenant, after=after, limit=limit)
    ids = [webhook.id for webhook in page.items]
    return ListPage[WebhookRead].from_items(map(WebhookRead.from_row, page.items), ids, has_more=page.has_more)


@router.get("/{webhook_id}", operation_id="get_webhook", summary="Get a webhook", responses=problems(NotFound))
def get_webhook(webhook_id: WebhookId, caller: CurrentCaller, session: ReadSession) -> WebhookRead:
    """Whether it is enabled, and since when its deliveries fail."""
    return WebhookRead.from_row(webhooks.find(session, caller.tenant, webhook_id))


@router.patch(
    "/{webhook_id}",
    operation_id="update_webhook",
    summary="Change a webhook",
    dependencies=[Depends(expect_json)],
    responses=problems(NotFound, StateConflict, WebhookExists, DestinationRefused, *_BODY),
)
def update_webhook(
    webhook_id: WebhookId, wanted: WebhookUpdate, caller: CurrentCaller, session: WriteSession, settings: AppSettings
) -> WebhookRead:
    """Changes the fields that are sent. `{"enabled": true}` takes up a webhook again that was disabled."""
    changed = webhooks.update(session, caller, settings.destinations, webhook_id, wanted.changes())
    return WebhookRead.from_row(changed)


@router.delete(
    "/{webhook_id}",
    operation_id="delete_webhook",
    summary="Delete a webhook",
    status_code=204,
    responses=problems(NotFound, StateConflict),
)
def delete_webhook(webhook_id: WebhookId, caller: CurrentCaller, session: WriteSession) -> None:
    """Deletes it with its deliveries, those that wait to be sent included."""
    webhooks.delete(session, caller, webhook_id)


@router.post(
    "/{webhook_id}/rotate-secret",
    operation_id="rotate_webhook_secret",
    summary="Rotate the secret",
    responses=problems(NotFound),
)
def rotate_webhook_secret(
    webhook_id: WebhookId, caller: CurrentCaller, session: WriteSession, response: Response
) -> WebhookSecret:
    """Makes a new secret; only this answer contains it. For 24 hours deliveries are signed with the old one too. With
    `default` it is the secret for the `webhook_url` of all your jobs."""
    webhook = webhooks.rotate_secret(session, caller, webhook_id)
    response.headers["Cache-Control"] = "no-store"
    return WebhookSecret.from_row(webhook, secret=webhook.secret)


_SENDS: dict[str, Any] = {
    "status_code": 202,
    "responses": {202: {"headers": LOCATION}, **problems(NotFound, StateConflict)},
}


@router.post("/{webhook_id}/test", operation_id="test_webhook", summary="Send a test event", **_SENDS)
def test_webhook(
    webhook_id: WebhookId, caller: CurrentCaller, session: WriteSession, response: Response
) -> DeliveryRead:
    """Sends an event `webhook.test`, once, whatever the webhook is subscribed to and even if it is disabled. `Location`
    is the delivery, which says within seconds what became of it."""
    return _sent(webhooks.test(session, caller, webhook_id), response)


@router.get(
    "/{webhook_id}/deliveries",
    operation_id="list_webhook_deliveries",
    summary="List deliveries",
    responses=problems(NotFound),
)
def list_webhook_deliveries(
    webhook_id: WebhookId,
    caller: CurrentCaller,
    session: ReadSession,
    state: Annotated[DeliveryState | None, Query(description="Only deliveries in this state.")] = None,
    after: AfterDelivery = None,
    limit: Limit = 20,
) -> ListPage[DeliveryRead]:
    """Newest first: what was sent, what waits, what the receiver answered."""
    page = webhooks.deliveries(session, caller.tenant, webhook_id, state=state, after=after, limit=limit)
    ids = [delivery.id for delivery in page.items]
    return ListPage[DeliveryRead].from_items(map(DeliveryRead.from_row, page.items), ids, has_more=page.has_more)


@router.get(
    "/{webhook_id}/deliveries/{delivery_id}",
    operation_id="get_webhook_delivery",
    summary="Get a delivery",
    responses=problems(NotFound),
)
def get_webhook_delivery(
    webhook_id: WebhookId, delivery_id: DeliveryId, caller: CurrentCaller, session: ReadSession
) -> DeliveryRead:
    """What is sent, each attempt, and when the next one is due."""
    return DeliveryRead.from_row(webhooks.delivery(session, caller.tenant, webhook_id, delivery_id))


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver",
    operation_id="redeliver_webhook_delivery",
    summary="Send a delivery again",
    **_SENDS,
)
def redeliver_webhook_delivery(
    webhook_id: WebhookId, delivery_id: DeliveryId, caller: CurrentCaller, session: WriteSession, response: Response
) -> DeliveryRead:
    """Sends the same event with the same `webhook-id` at once, whether it was received before or given up. One that
    waits for its next attempt need not wait any longer. 409 if the webhook is disabled."""
    return _sent(webhooks.redeliver(session, caller, webhook_id, delivery_id), response)


@sent.post(
    "event",
    operation_id="receive_event",
    summary="An event is sent to a webhook",
    status_code=204,
    responses={410: {"description": "Disables the webhook: nothing is sent any more."}},
)
def receive_event(
    event: WebhookEvent,
    webhook_id: Annotated[str, Header(alias="webhook-id", description="Id of the event.")],
    webhook_timestamp: Annotated[str, Header(alias="webhook-timestamp", description="Of this attempt, in seconds.")],
    webhook_signature: Annotated[str, Header(alias="webhook-signature", description="`v1,…`; two after a rotation.")],
) -> None:
    """Sent to a webhook, or to the `webhook_url` of a job, with the headers `webhook-id`, `webhook-timestamp` and
    `webhook-signature` of Standard Webhooks. Any 2xx within ten seconds says that it was received; anything else is
    tried again after 5 s, 5 min, 30 min, 2 h, 5 h and 10 h."""


def _sent(delivery: WebhookDelivery, response: Response) -> DeliveryRead:
    response.headers["Location"] = f"/v1/webhooks/{delivery.webhook_id}/deliveries/{delivery.id}"
    return DeliveryRead.from_row(delivery)
