"""What a tenant may take: checked where it takes more, exactly, also when several requests come at once."""

from sqlalchemy.orm import Session

from app.db import access_queries as queries
from app.domain.access import Quotas
from app.domain.errors import BytesQuotaExceeded, QueueQuotaExceeded

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
    )


def require_bytes(session: Session, defaults: Quotas, tenant: str, adding: int) -> None:
    """Call it in the transaction that adds them: until that ends, no other request of this tenant is counted.

    Raises:
        BytesQuotaExceeded: if the tenant's data sets would then have more bytes than they may.
    """
    limit = of_tenant(session, defaults, tenant).bytes
    if limit is None:
        return
    queries.lock_tenant(session, tenant)
    kept = queries.dataset_bytes(session, tenant)
    if kept + adding > limit:
        raise BytesQuotaExceeded(
            f"Your data sets have {kept:,} bytes; with these {adding:,} they would be over your {limit:,}.",
            hint="Delete data sets that are not needed any more, or ask the operator for more.",
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
    if queries.queued_jobs(session, tenant) >= limit:
        raise QueueQuotaExceeded(
            f"You have {limit:,} queued jobs, as many as you may have.",
            retry_after=QUEUE_RETRY_SECONDS,
            hint="Wait until some have started, or cancel some.",
        )
