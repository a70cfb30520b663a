"""Which workers there are, and whether they give signs of life."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from app.db.queries import catalogue as queries

FORGOTTEN = timedelta(days=7)
"""A worker that was lost this long ago will not come back under its name, so nobody is told of it any more."""


@dataclass(frozen=True, slots=True)
class Life:
    """One worker that was not told to stop."""

    hostname: str
    queue: str
    device: str
    silent_seconds: float
    """Since its last sign of life."""
    id: str = ""
    machine: str | None = None
    """Its kind: processor, threads, GPU; None of one that trains nothing."""

    def is_recent(self, lease_seconds: float) -> bool:
        """Whether it counts as alive: it gives several signs in this time."""
        return self.silent_seconds < lease_seconds


def give_sign_of_life(session: Session, worker_id: str) -> None:
    """Note that the worker runs and takes messages."""
    queries.set_seen(session, worker_id)


def say_goodbye(session: Session, worker_id: str) -> None:
    """Note that the worker was told to stop, so nobody misses it. What it can build stays in the catalogue: it may
    start again in a moment."""
    queries.set_stopped(session, worker_id)


def lives(session: Session) -> list[Life]:
    """Of all workers that have registered, but for those that were told to stop or are forgotten."""
    return [
        Life(worker.hostname, worker.queue, worker.device, silent.total_seconds(), worker.id, worker.machine)
        for worker, silent in queries.unstopped_workers(session)
        if silent < FORGOTTEN
    ]
