"""What jobs have found out about data sets."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.models import Artifact, Job


def newest_file_about(session: Session, dataset_id: str, name: str) -> Artifact | None:
    """The published file called `name` of the youngest job on the data set that has one."""
    return session.scalars(
        select(Artifact)
        .join(Job, Job.id == Artifact.job_id)
        .where(Job.dataset_id == dataset_id, Artifact.name == name)
        .order_by(Job.id.desc())
        .limit(1)
    ).first()
