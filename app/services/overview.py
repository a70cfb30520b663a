"""What one tenant has and what its machines do, at a glance."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cachetools import TTLCache
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app.db.models import Dataset, Job
from app.db.queries import datasets as dataset_queries
from app.db.queries import jobs as queries
from app.db.queries import queue
from app.db.queries import uploads as upload_queries
from app.domain.access import Quotas
from app.domain.fair_queue import Group
from app.domain.states import DatasetState, JobState
from app.services import quotas, workers
from app.services.workers import Life

_STORED_SECONDS = 30.0
_STORED: TTLCache[tuple[Engine, str], int] = TTLCache(1000, _STORED_SECONDS)
"""Bytes of published files by store and tenant: a sum over all of them, asked for by every open page."""
_STORED_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class SeenWorker:
    """A worker, and what it is at."""

    life: Life
    is_alive: bool
    job_id: str | None
    """Of this tenant."""
    is_busy: bool
    """With a job of whomever."""


@dataclass(frozen=True, slots=True)
class Storage:
    """What a tenant keeps, in bytes."""

    datasets: int
    uploads: int
    files: int
    limit: int | None
    """Of data sets and uploads together; None: no limit."""


def count_jobs(session: Session, tenant: str) -> Mapping[JobState, int]:
    """Of every state, whether there are any or not."""
    return dict.fromkeys(JobState, 0) | queries.count_jobs(session, tenant)


def imports(session: Session, tenant: str, limit: int) -> Sequence[Dataset]:
    """Data sets whose import has not ended."""
    return dataset_queries.list_in_state(session, tenant, DatasetState.VALIDATING, limit)


def unanswered(session: Session, tenant: str, limit: int) -> Sequence[Dataset]:
    """Data sets whose owner has to say how they are meant."""
    return dataset_queries.list_in_state(session, tenant, DatasetState.NEEDS_ANSWER, limit)


def dataset_names(session: Session, tenant: str, jobs: Iterable[Job]) -> Mapping[str, str]:
    """Names of the jobs' data sets by id, of those that still exist."""
    return dataset_queries.dataset_names(session, tenant, {job.dataset_id for job in jobs})


def jobs_on(session: Session, tenant: str, dataset_id: str, limit: int) -> Sequence[Job]:
    """The youngest jobs on a data set."""
    return queries.list_on_dataset(session, tenant, dataset_id, limit)


def seen_workers(session: Session, tenant: str, lease_seconds: float) -> list[SeenWorker]:
    at_work = {worker_id: (job_id, owner) for worker_id, job_id, owner in queue.running_on_workers(session)}
    seen = []
    for life in workers.lives(session):
        job_id, owner = at_work.get(life.id, (None, None))
        mine = job_id if owner == tenant else None
        seen.append(SeenWorker(life, life.is_recent(lease_seconds), mine, job_id is not None))
    return seen


def storage(session: Session, defaults: Quotas, tenant: str) -> Storage:
    """That of published files may be half a minute old."""
    key = (session.get_bind().engine, tenant)
    with _STORED_LOCK:
        files = _STORED.get(key)
    if files is None:
        files = queries.artifact_bytes(session, tenant)
        with _STORED_LOCK:
            _STORED[key] = files
    return Storage(
        datasets=dataset_queries.dataset_bytes(session, tenant),
        uploads=upload_queries.pending_bytes(session, tenant),
        files=files,
        limit=quotas.of_tenant(session, defaults, tenant).bytes,
    )


def queue_groups(session: Session, defaults: Quotas) -> list[Group]:
    """All that waits, by priority and tenant, the next ones first."""
    return queue.queue_groups(session, defaults.running)
