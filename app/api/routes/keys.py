"""API keys, for those whose own key has the scope `admin`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from app.api.deps import AdminCaller, ReadSession, WriteSession
from app.api.openapi import LOCATION, problems
from app.api.params import AfterKey, Limit, expect_json
from app.api.schemas import ListPage
from app.api.schemas_access import KeyCreate, KeyCreated, KeyRead
from app.domain.access import TENANT_NAME
from app.services import keys

router = APIRouter(prefix="/v1/keys", tags=["access"])


async def named_tenant(
    caller: AdminCaller,
    tenant: Annotated[
        str | None, Query(pattern=TENANT_NAME, description="Another tenant's; for the operator's keys only.")
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
    summary="Make a key",
    status_code=201,
    dependencies=[Depends(expect_json)],
    responses={201: {"headers": LOCATION}, **problems(400, 413, 415, 422)},
)
def create_key(wanted: KeyCreate, caller: AdminCaller, session: WriteSession, response: Response) -> KeyCreated:
    """`key` is in this answer and nowhere else: keep it. The operator may name a `tenant`, which need not exist before;
    this is how a new tenant gets its first key."""
    key, secret = keys.create(
        session,
        keys.tenant_for(caller, wanted.tenant),
        name=wanted.name,
        scopes=wanted.scopes,
        expires_in_days=wanted.expires_in_days,
    )
    response.headers["Location"] = f"/v1/keys/{key.id}"
    response.headers["Cache-Control"] = "no-store"
    return KeyCreated(**KeyRead.of(key).model_dump(), key=secret)


@router.get("", operation_id="list_keys", summary="Your keys")
def list_keys(
    tenant: NamedTenant, session: ReadSession, after: AfterKey = None, limit: Limit = 20
) -> ListPage[KeyRead]:
    """Newest first, expired ones too; never the keys themselves."""
    page = keys.page(session, tenant, after=after, limit=limit)
    ids = [key.id for key in page.items]
    return ListPage[KeyRead].of(map(KeyRead.of, page.items), ids, has_more=page.has_more)


@router.get("/{key_id}", operation_id="get_key", summary="One key", responses=problems(404))
def get_key(key_id: str, tenant: NamedTenant, session: ReadSession) -> KeyRead:
    """What it may do, until when, and when it was last used."""
    return KeyRead.of(keys.find(session, tenant, key_id))


@router.delete("/{key_id}", operation_id="revoke_key", summary="Revoke a key", status_code=204, responses=problems(404))
def revoke_key(key_id: str, tenant: NamedTenant, session: WriteSession) -> None:
    """Within five seconds it opens nothing any more, in all processes."""
    keys.revoke(session, tenant, key_id)
