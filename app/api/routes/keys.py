"""API keys, for keys with the scope `admin`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from app.api.deps import AdminCaller, ReadSession, WriteSession
from app.api.openapi import LOCATION, problems
from app.api.params import AfterKey, Limit, expect_json
from app.api.schemas.access import KeyCreate, KeyCreated, KeyRead
from app.api.schemas.common import ListPage
from app.domain.access import TENANT_NAME
from app.domain.errors import MalformedRequest, NotFound, TooLarge, UnsupportedMediaType
from app.services import keys

router = APIRouter(prefix="/v1/keys", tags=["access"])


async def named_tenant(
    caller: AdminCaller,
    tenant: Annotated[
        str | None, Query(pattern=TENANT_NAME, description="Another tenant; only for the operator's keys.")
    ] = None,
) -> str:
    """
    Raises:
        Forbidden: if someone else than the operator names another tenant.
    """
    return keys.tenant_for(caller, tenant)


NamedTenant = Annotated[str, Depends(named_tenant)]


@router.post(
    "",
    operation_id="create_key",
    summary="Create an API key",
    status_code=201,
    dependencies=[Depends(expect_json)],
    responses={201: {"headers": LOCATION}, **problems(MalformedRequest, TooLarge, UnsupportedMediaType)},
)
def create_key(wanted: KeyCreate, caller: AdminCaller, session: WriteSession, response: Response) -> KeyCreated:
    """Only this answer contains the secret `key`: store it. The operator may name any `tenant`; naming a new one
    creates it with its first key."""
    key, secret = keys.create(
        session,
        caller,
        keys.tenant_for(caller, wanted.tenant),
        name=wanted.name,
        scopes=wanted.scopes,
        expires_in_days=wanted.expires_in_days,
    )
    response.headers["Location"] = f"/v1/keys/{key.id}"
    response.headers["Cache-Control"] = "no-store"
    return KeyCreated(**KeyRead.from_row(key).model_dump(), key=secret)


@router.get("", operation_id="list_keys", summary="List API keys")
def list_keys(
    tenant: NamedTenant, session: ReadSession, after: AfterKey = None, limit: Limit = 20
) -> ListPage[KeyRead]:
    """Newest first, expired keys included; never the secrets."""
    page = keys.page(session, tenant, after=after, limit=limit)
    ids = [key.id for key in page.items]
    return ListPage[KeyRead].from_items(map(KeyRead.from_row, page.items), ids, has_more=page.has_more)


@router.get("/{key_id}", operation_id="get_key", summary="Get an API key", responses=problems(NotFound))
def get_key(key_id: str, tenant: NamedTenant, session: ReadSession) -> KeyRead:
    """Its scopes, its expiry, and when it was last used."""
    return KeyRead.from_row(keys.find(session, tenant, key_id))


@router.delete(
    "/{key_id}", operation_id="revoke_key", summary="Revoke an API key", status_code=204, responses=problems(NotFound)
)
def revoke_key(key_id: str, caller: AdminCaller, tenant: NamedTenant, session: WriteSession) -> None:
    """Every process rejects the key within five seconds."""
    keys.revoke(session, caller, tenant, key_id)
