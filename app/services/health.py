"""Whether what the service stands on answers."""

import logging
from collections.abc import Callable, Mapping

from celery import Celery

from app import queue
from app.db import queries
from app.db.engine import Store
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
