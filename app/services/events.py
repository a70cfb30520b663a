"""What happened to a job, in order."""

from sqlalchemy.orm import Session

from app.db import queries
from app.db.models import JobEvent
from app.db.queries import Page
from app.services import jobs


def page(session: Session, tenant: str, job_id: str, *, after: int, limit: int) -> Page[JobEvent]:
    """Oldest first, those behind number `after`.

    Raises:
        NotFound: if there is no such job.
    """
    job = jobs.stamp(session, tenant, job_id)
    return queries.list_events(session, job.id, after=after, limit=limit)
