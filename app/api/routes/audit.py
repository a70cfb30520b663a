"""Who changed what, for those whose key has the scope `admin`."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import ReadSession
from app.api.params import AfterAudit, Limit
from app.api.routes.keys import NamedTenant
from app.api.schemas import ListPage
from app.api.schemas_access import AuditRead
from app.services import audit

router = APIRouter(prefix="/v1/audit", tags=["access"])


@router.get("", operation_id="list_audit", summary="Who changed what")
def list_audit(
    tenant: NamedTenant,
    session: ReadSession,
    object_id: Annotated[
        str | None, Query(pattern=r"^[a-z]{2,6}_[0-9A-Z]{26}$", description="Only what was done to this object.")
    ] = None,
    after: AfterAudit = None,
    limit: Limit = 20,
) -> ListPage[AuditRead]:
    """Newest first. Every change that was made is here, by which key and from where; what was refused is in the log."""
    page = audit.page(session, tenant, object_id=object_id, after=after, limit=limit)
    ids = [entry.id for entry in page.items]
    return ListPage[AuditRead].of(map(AuditRead.of, page.items), ids, has_more=page.has_more)
