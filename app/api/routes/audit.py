"""The audit trail, for keys with the scope `admin`."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import ReadSession
from app.api.params import AfterAudit, Limit
from app.api.routes.keys import NamedTenant
from app.api.schemas.access import AuditRead
from app.api.schemas.common import ListPage
from app.services import audit

router = APIRouter(prefix="/v1/audit", tags=["access"])


@router.get("", operation_id="list_audit", summary="List the audit trail")
def list_audit(
    tenant: NamedTenant,
    session: ReadSession,
    object_id: Annotated[
        str | None, Query(pattern=r"^[a-z]{2,6}_[0-9A-Z]{26}$", description="Only entries about this object.")
    ] = None,
    after: AfterAudit = None,
    limit: Limit = 20,
) -> ListPage[AuditRead]:
    """Newest first. Each change has an entry with the key and the address that made it. Refused requests are only in
    the log."""
    page = audit.page(session, tenant, object_id=object_id, after=after, limit=limit)
    ids = [entry.id for entry in page.items]
    return ListPage[AuditRead].from_items(map(AuditRead.from_row, page.items), ids, has_more=page.has_more)
