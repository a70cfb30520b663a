"""Check the backing services."""

import logging
from collections.abc import Callable, Mapping

from celery import Celery

from app import queue
from app.db.engine import Store
from app.db.queries import catalogue as queries
from app.services import workers
from app.storage.blobs import Blobs

logger = logging.getLogger(__name__)


def check(store: Store, celery: Celery, blobs: Blobs) -> dict[str, bool]:
    """Database, broker and storage, each by its name: True if it answers."""
    probes: Mapping[str, Callable[[], None]] = {
        "database": lambda: _read(store),
        "broker": lambda: queue.probe(celery),
        "storage": blobs.probe,
    }
    return {name: _answers(name, probe) for name, probe in probes.items()}


def living_workers(store: Store, lease_seconds: float) -> dict[str, int]:
    """How many workers of each queue have given a sign of life within `lease_seconds`."""
    with store.read() as session:
        alive = [life.queue for life in workers.lives(session) if life.is_recent(lease_seconds)]
    return {name: alive.count(name) for name in (queue.DATASETS_QUEUE, queue.TRAINING_QUEUE)}


def _read(store: Store) -> None:
    with store.read() as session:
        queries.touch(session)


def _answers(name: str, probe: Callable[[], None]) -> bool:
    try:
        probe()
    except Exception:  # each driver has errors of its own; the answer is the same
        logger.warning("not ready: %s", name, exc_info=True)
        return False
    return True
