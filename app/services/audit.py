"""Who changed what. Written in the transaction of the change, so neither is there without the other."""

from typing import cast

from sqlalchemy import Table, insert
from sqlalchemy.orm import Session

from app.db import access_queries as queries
from app.db.access_models import AuditEntry
from app.db.ids import new_id
from app.db.queries import Page
from app.domain.access import Caller

# into the table: half the price of an object that nobody asks for again
_INSERT = insert(cast(Table, AuditEntry.__table__))


def record(
    session: Session,
    caller: Caller,
    action: str,
    object_id: str | None,
    *,
    request_id: str | None = None,
    address: str | None = None,
) -> None:
    """Note that `caller` did `action`, the operation's id in the OpenAPI document, to an object."""
    row = {
        "id": new_id("aud"),
        "tenant": caller.tenant,
        "actor": caller.actor,
        "action": action,
        "object_id": object_id,
        "request_id": request_id,
        "address": address,
    }
    session.execute(_INSERT, row)


def page(
    session: Session, tenant: str, *, object_id: str | None = None, after: str | None, limit: int
) -> Page[AuditEntry]:
    """Newest first; with `object_id`, what was done to this object alone."""
    return queries.list_audit(session, tenant, object_id=object_id, after=after, limit=limit)
