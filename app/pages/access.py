"""`/keys`, `/audit` and, for operators, `/tenants`."""

from typing import Annotated

from fastapi import Depends, Query, Request, Response
from pydantic import ValidationError

from app.api.deps import AdminCaller, AppSettings, ReadSession, WriteSession
from app.api.params import AfterAudit, AfterKey
from app.api.routes.keys import NamedTenant
from app.api.schemas.access import KeyCreate
from app.domain.errors import Forbidden, InvalidRequest
from app.pages.deps import AnyViewer, Posted, seen, text_of
from app.pages.rendering import page
from app.pages.routing import page_router
from app.services import audit, keys, quotas

router = page_router()

LISTED = 50
_QUOTAS = ("max_bytes", "max_queued", "max_running")


@router.get("/keys")
def key_list(
    request: Request, viewer: AnyViewer, tenant: NamedTenant, session: ReadSession, after: AfterKey = None
) -> Response:
    return _keys(request, viewer, session, tenant, after)


@router.post("/forms/keys")
def create_key(
    request: Request, caller: AdminCaller, viewer: AnyViewer, form: Posted, session: WriteSession
) -> Response:
    """The page shows the key, this once."""
    days = text_of(form, "expires_in_days")
    try:
        wanted = KeyCreate.model_validate(
            {
                "name": text_of(form, "name"),
                "scopes": form.getlist("scopes"),
                "expires_in_days": int(days) if days.isdecimal() else None,
                "tenant": text_of(form, "tenant") or None,
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidRequest(f"{first['loc'][0]}: {first['msg']}", param=str(first["loc"][0])) from error
    tenant = keys.tenant_for(caller, wanted.tenant)
    key, secret = keys.create(
        session, caller, tenant, name=wanted.name, scopes=wanted.scopes, expires_in_days=wanted.expires_in_days
    )
    answer = _keys(request, viewer, session, tenant, None, created=(key.name, secret))
    answer.headers["Cache-Control"] = "no-store"
    return answer


@router.post("/forms/keys/{key_id}/revoke")
def revoke_key(key_id: str, caller: AdminCaller, form: Posted, session: WriteSession) -> Response:
    tenant = keys.tenant_for(caller, text_of(form, "tenant") or None)
    keys.revoke(session, caller, tenant, key_id)
    return seen("/keys" if tenant == caller.tenant else f"/keys?tenant={tenant}")


@router.get("/audit")
def audit_trail(
    request: Request,
    viewer: AnyViewer,
    tenant: NamedTenant,
    session: ReadSession,
    object_id: Annotated[str | None, Query(max_length=40)] = None,
    after: AfterAudit = None,
) -> Response:
    found = audit.page(session, tenant, object_id=object_id or None, after=after, limit=LISTED)
    return page(
        request,
        viewer,
        "audit.html",
        entries=found.items,
        has_more=found.has_more,
        after=after,
        tenant=tenant,
        object_id=object_id or "",
    )


async def operate(caller: AdminCaller) -> None:
    """
    Raises:
        Forbidden: for anyone but the operator.
    """
    if not caller.is_operator:
        raise Forbidden("Only the operator's keys see all tenants.")


@router.get("/tenants", dependencies=[Depends(operate)])
def tenant_list(request: Request, viewer: AnyViewer, session: ReadSession, settings: AppSettings) -> Response:
    return page(
        request, viewer, "tenants.html", tenants=quotas.list_tenants(session), defaults=settings.quotas, names=_QUOTAS
    )


@router.post("/forms/tenants/{name}/quotas", dependencies=[Depends(operate)])
def set_quotas(name: str, caller: AdminCaller, form: Posted, session: WriteSession) -> Response:
    """An empty field: what the settings say."""
    wanted: dict[str, int | None] = {}
    for quota in _QUOTAS:
        text = text_of(form, quota)
        if text and not text.isdecimal():
            raise InvalidRequest("A quota is a whole number, or empty for the setting's value.", param=quota)
        wanted[quota] = int(text) if text else None
    if name not in {tenant.name for tenant in quotas.list_tenants(session)}:
        raise InvalidRequest("There is no such tenant.", hint="A tenant is made with its first key.", param="name")
    quotas.set_quotas(session, caller, name, wanted)
    return seen("/tenants")


def _keys(
    request: Request,
    viewer: AnyViewer,
    session: ReadSession,
    tenant: str,
    after: str | None,
    created: tuple[str, str] | None = None,
) -> Response:
    found = keys.page(session, tenant, after=after, limit=LISTED)
    return page(
        request,
        viewer,
        "keys.html",
        keys=found.items,
        has_more=found.has_more,
        after=after,
        tenant=tenant,
        created=created,
    )
