"""The audit trail. An entry is written in the transaction of the change, so neither exists without the other."""

from typing import cast

from sqlalchemy import Table, insert
from sqlalchemy.orm import Session

from app.db.ids import new_id
from app.db.models import AuditEntry
from app.db.queries import access as queries
from app.db.queries.page import Page
from app.domain.access import Caller
from app.log_context import current_request_id

# into the table: half the price of an object that nobody asks for again
_INSERT = insert(cast(Table, AuditEntry.__table__))


def record(session: Session, caller: Caller, action: str, object_id: str | None, *, tenant: str | None = None) -> None:
    """Note that `caller` did `action`, the operation's id in the OpenAPI document, to an object.

    Args:
        tenant: whose object it is, where the operator acts for another tenant. It then stands in both trails. In that
            tenant's it has no address: from where its operator works is no business of a tenant.
    """
    row = {
        "id": new_id("aud"),
        "tenant": caller.tenant,
        "actor": caller.actor,
        "action": action,
        "object_id": object_id,
        "request_id": current_request_id(),
        "address": caller.address,
    }
    session.execute(_INSERT, row)
    if tenant is not None and tenant != caller.tenant:
        session.execute(_INSERT, row | {"id": new_id("aud"), "tenant": tenant, "address": None})


def page(
    session: Session, tenant: str, *, object_id: str | None = None, after: str | None, limit: int
) -> Page[AuditEntry]:
    """Newest first; with `object_id`, what was done to this object alone."""
    return queries.list_audit(session, tenant, object_id=object_id, after=after, limit=limit)
