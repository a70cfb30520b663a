"""Quotas of tenants. Each check is exact, also when several requests arrive at once."""

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from app.db.models import Tenant
from app.db.queries import access as queries
from app.db.queries import datasets as dataset_queries
from app.db.queries import queue
from app.domain.access import Caller, Quotas
from app.domain.errors import BytesQuotaExceeded, QueueQuotaExceeded
from app.services import audit

QUEUE_RETRY_SECONDS = 60
"""A queue moves with each job that ends, which takes minutes at the least."""


def of_tenant(session: Session, defaults: Quotas, tenant: str) -> Quotas:
    """The tenant's own quotas where it has some, else those of the settings."""
    row = queries.get_tenant(session, tenant)
    if row is None:
        return defaults
    return Quotas(
        bytes=defaults.bytes if row.max_bytes is None else row.max_bytes,
        queued=defaults.queued if row.max_queued is None else row.max_queued,
        running=defaults.running if row.max_running is None else row.max_running,
        job_hours=defaults.job_hours,
    )


def list_tenants(session: Session) -> Sequence[Tenant]:
    """By name: every tenant that has had a key, a quota or a limit checked."""
    return queries.list_tenants(session)


def set_quotas(session: Session, caller: Caller, name: str, quotas: Mapping[str, int | None]) -> Tenant:
    """Change those of `max_bytes`, `max_queued` and `max_running` that are given; None: what the settings say."""
    queries.ensure_tenant(session, name)
    tenant = queries.get_tenant(session, name)
    assert tenant is not None, "made a line above"
    for column, value in quotas.items():
        setattr(tenant, column, value)
    session.flush()
    audit.record(session, caller, "set_quotas", None, tenant=name)
    return tenant


def require_bytes(session: Session, defaults: Quotas, tenant: str, adding: int) -> None:
    """Call it in the transaction that adds them: until that ends, no other request of this tenant is counted.

    Raises:
        BytesQuotaExceeded: if the tenant's data sets would then have more bytes than they may.
    """
    limit = of_tenant(session, defaults, tenant).bytes
    if limit is None:
        return
    queries.lock_tenant(session, tenant)
    kept = dataset_queries.dataset_bytes(session, tenant)
    if kept + adding > limit:
        raise BytesQuotaExceeded(
            f"Your data sets have {kept:,} bytes; with {adding:,} more they would exceed your quota of {limit:,}.",
            hint="Delete data sets that you no longer need, or ask the operator for a larger quota.",
        )


def require_place_in_queue(session: Session, defaults: Quotas, tenant: str) -> None:
    """As `require_bytes`, for one more queued job.

    Raises:
        QueueQuotaExceeded: if the tenant has as many as it may have.
    """
    limit = of_tenant(session, defaults, tenant).queued
    if limit is None:
        return
    queries.lock_tenant(session, tenant)
    if queue.queued_jobs(session, tenant) >= limit:
        raise QueueQuotaExceeded(
            f"You have {limit:,} queued jobs, as many as you may have.",
            retry_after=QUEUE_RETRY_SECONDS,
            hint="Wait until some have started, or cancel some of them.",
        )
