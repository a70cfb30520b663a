"""Tenants and the quotas that are theirs alone."""

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from app.db import access_queries as queries
from app.db.access_models import Tenant


def listing(session: Session) -> Sequence[Tenant]:
    """By name: every tenant that has had a key, a quota or a limit checked."""
    return queries.list_tenants(session)


def set_quotas(session: Session, name: str, quotas: Mapping[str, int | None]) -> Tenant:
    """Change those of `max_bytes`, `max_queued` and `max_running` that are given; None: what the settings say."""
    queries.ensure_tenant(session, name)
    tenant = queries.get_tenant(session, name)
    assert tenant is not None, "made a line above"
    for column, value in quotas.items():
        setattr(tenant, column, value)
    session.flush()
    return tenant
