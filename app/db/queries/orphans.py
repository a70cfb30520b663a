"""Which blobs rows name."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.models import Artifact, Dataset, Job, JobPreview
from app.db.queries.datasets import named_keys
from app.domain.states import OPEN_JOB_STATES, DatasetState


def unfinished(session: Session, ids: Collection[str]) -> set[str]:
    """Those of the jobs and data sets on which somebody works, or will: their blobs may yet be named."""
    jobs = select(Job.id).where(Job.id.in_(ids), Job.state.in_(sorted(OPEN_JOB_STATES)))
    datasets = select(Dataset.id).where(Dataset.id.in_(ids), Dataset.state == DatasetState.VALIDATING)
    return {*session.scalars(jobs), *session.scalars(datasets)}


def named(session: Session, ids: Collection[str], keys: Collection[str]) -> set[str]:
    """Storage keys that rows name: files of these jobs, and those of `keys` that are archives, data sets and
    checkpoints, which objects of other ids may name too."""
    files = select(Artifact.storage_key).where(Artifact.job_id.in_(ids))
    checkpoints = select(Job.checkpoint_key).where(Job.checkpoint_key.in_(keys))
    inherited = (key for key in session.scalars(checkpoints) if key is not None)
    previews = select(JobPreview.storage_key).where(JobPreview.job_id.in_(ids))
    # previews first: one that is kept becomes a file
    return {*session.scalars(previews), *session.scalars(files), *inherited, *named_keys(session, keys)}


def names_nothing(session: Session) -> bool:
    """Whether the database holds no job and no data set at all, as one does that was never used."""
    return session.scalar(select(Job.id).limit(1)) is None and session.scalar(select(Dataset.id).limit(1)) is None
