"""`/webhooks` and the deliveries of each."""

from fastapi import Request, Response
from pydantic import ValidationError

from app.api.deps import AppSettings, CurrentCaller, ReadSession, WriteSession
from app.api.params import AfterDelivery, AfterWebhook
from app.api.schemas.webhooks import DeliveryRead, WebhookCreate, WebhookRead
from app.domain.errors import InvalidRequest
from app.domain.webhooks import Subscription
from app.pages.deps import CurrentViewer, Posted, seen, text_of
from app.pages.rendering import page
from app.pages.routing import page_router
from app.services import webhooks

router = page_router()

LISTED = 25


@router.get("/webhooks")
def webhook_list(
    request: Request, caller: CurrentCaller, viewer: CurrentViewer, session: ReadSession, after: AfterWebhook = None
) -> Response:
    found = webhooks.page(session, caller.tenant, after=after, limit=LISTED)
    return page(
        request,
        viewer,
        "webhooks.html",
        webhooks=[WebhookRead.from_row(row) for row in found.items],
        has_more=found.has_more,
        after=after,
        types=[each.value for each in Subscription],
        created=None,
    )


@router.post("/forms/webhooks")
def create_webhook(
    request: Request,
    caller: CurrentCaller,
    viewer: CurrentViewer,
    form: Posted,
    session: WriteSession,
    settings: AppSettings,
) -> Response:
    """The page shows the secret, this once."""
    sent = {"url": text_of(form, "url"), "description": text_of(form, "description")}
    try:
        wanted = WebhookCreate.model_validate({**sent, "event_types": form.getlist("event_types")})
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidRequest(f"{first['loc'][0]}: {first['msg']}", param=str(first["loc"][0])) from error
    webhook = webhooks.create(
        session,
        caller,
        settings.destinations,
        url=wanted.url,
        description=wanted.description,
        event_types=wanted.event_types,
        enabled=True,
        most=settings.max_webhooks,
    )
    answer = _one(request, viewer, session, caller.tenant, webhook.id, None, secret=webhook.secret)
    answer.headers["Cache-Control"] = "no-store"
    return answer


@router.get("/webhooks/{webhook_id}")
def webhook_page(
    request: Request,
    webhook_id: str,
    caller: CurrentCaller,
    viewer: CurrentViewer,
    session: ReadSession,
    after: AfterDelivery = None,
) -> Response:
    return _one(request, viewer, session, caller.tenant, webhook_id, after)


@router.post("/forms/webhooks/{webhook_id}")
def act(
    request: Request,
    webhook_id: str,
    caller: CurrentCaller,
    viewer: CurrentViewer,
    form: Posted,
    session: WriteSession,
    settings: AppSettings,
) -> Response:
    """What a button on a webhook's page does: what the API's route of that name does."""
    match text_of(form, "action"):
        case "test":
            webhooks.test(session, caller, webhook_id)
        case "enable":
            webhooks.update(session, caller, settings.destinations, webhook_id, {"enabled": True})
        case "disable":
            webhooks.update(session, caller, settings.destinations, webhook_id, {"enabled": False})
        case "redeliver":
            webhooks.redeliver(session, caller, webhook_id, text_of(form, "delivery_id"))
        case "rotate":
            secret = webhooks.rotate_secret(session, caller, webhook_id).secret
            answer = _one(request, viewer, session, caller.tenant, webhook_id, None, secret=secret)
            answer.headers["Cache-Control"] = "no-store"
            return answer
        case "delete":
            webhooks.delete(session, caller, webhook_id)
            return seen("/webhooks")
        case _:
            raise InvalidRequest("A webhook knows no such action.", param="action")
    return seen(f"/webhooks/{webhook_id}")


def _one(
    request: Request,
    viewer: CurrentViewer,
    session: ReadSession,
    tenant: str,
    webhook_id: str,
    after: str | None,
    secret: str | None = None,
) -> Response:
    webhook = WebhookRead.from_row(webhooks.find(session, tenant, webhook_id))
    found = webhooks.deliveries(session, tenant, webhook_id, state=None, after=after, limit=LISTED)
    return page(
        request,
        viewer,
        "webhook.html",
        webhook=webhook,
        deliveries=[DeliveryRead.from_row(row) for row in found.items],
        has_more=found.has_more,
        after=after,
        secret=secret,
    )
