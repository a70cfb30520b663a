"""When jobs will end and begin, as far as anybody can know."""

import heapq
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.db.models import Job
from app.db.queries import catalogue, queue
from app.domain.access import Quotas
from app.domain.fair_queue import QueuePosition
from app.domain.states import TERMINAL_JOB_STATES, JobState

FAR = 50
"""Behind so many others no start is estimated: too much will be different by then."""


def remaining_seconds(job: Job) -> float | None:
    """0 once it has ended. None while it is unknown: it does not run, its run cannot know yet, or it has taken longer
    than its worker has said last and the worker has said nothing since."""
    if job.state in TERMINAL_JOB_STATES:
        return 0.0
    if job.state != JobState.RUNNING or job.expected_end is None or job.expected_end <= job.read_at:
        return None
    # up, not to the nearest: a running job has never 0 left
    return math.ceil((job.expected_end - job.read_at) / timedelta(seconds=0.1)) / 10


def expected_end(job: Job) -> datetime | None:
    """Of a running job; None while it is unknown."""
    return job.expected_end if remaining_seconds(job) and job.state == JobState.RUNNING else None


def estimated_starts(
    session: Session, defaults: Quotas, places: Mapping[str, QueuePosition], lease_seconds: float
) -> dict[str, datetime]:
    """When queued jobs will begin, by id; those that are not in it are unknown.

    Each worker that gives signs of life takes the next job when its own is expected to end. Where that is unknown of
    all, or how long the jobs ahead will run, nobody knows when the turn comes.
    """
    wanted = {job_id for job_id, place in places.items() if not place.held and place.position <= FAR}
    if not wanted:
        return {}
    free = _free_workers(session, lease_seconds)
    if not free:
        return {}
    last = max(places[job_id].position for job_id in wanted)
    return _walk(free, queue.waiting_in_order(session, defaults.running, last), wanted)


def estimated_next_start(session: Session, defaults: Quotas, lease_seconds: float) -> datetime | None:
    """Of a job that would be queued behind all others; None while it is unknown."""
    free, ahead = _free_workers(session, lease_seconds), queue.waiting_in_order(session, defaults.running, FAR)
    if not free or len(ahead) >= FAR:
        return None
    it = queue.Ahead("", 0, "", None, 0.0)
    return _walk(free, [*ahead, it], {""}).get("")


def _walk(free: list[datetime], ahead: Sequence[queue.Ahead], wanted: set[str]) -> dict[str, datetime]:
    """`free`: when each worker of whom that is known takes its next job."""
    starts: dict[str, datetime] = {}
    heapq.heapify(free)
    for job in ahead:
        if not free:  # somebody has the worker for nobody knows how long
            break
        start = heapq.heappop(free)
        if job.id in wanted:
            starts[job.id] = start
        if job.expected_seconds is not None:
            heapq.heappush(free, start + timedelta(seconds=job.expected_seconds * (1 - job.progress)))
    return starts


def _free_workers(session: Session, lease_seconds: float) -> list[datetime]:
    """When each living worker is free, of those whose job says when it will end."""
    alive = {
        trainer.worker.id: trainer.now
        for trainer in catalogue.trainers(session)
        if trainer.worker.stopped_at is None and trainer.silent.total_seconds() < lease_seconds
    }
    if not alive:
        return []
    now = max(alive.values())
    running: dict[str | None, list[datetime | None]] = {}
    for worker_id, end in queue.running_ends(session):  # workers of one host and device share an id
        running.setdefault(worker_id, []).append(end)
    ends = [end for worker_id in alive for end in running.get(worker_id, [now])]
    return [end for end in ends if end is not None and end >= now]
