"""Notify workers about rows that have been committed."""

import logging
import threading
from queue import SimpleQueue

from celery import Celery

from app import queue

MOST_WAITING = 10_000
"""More are dropped: the broker must be unavailable, and a reconciler sends lost messages again."""
CLOSING_SECONDS = 2.0

logger = logging.getLogger(__name__)


class JobNotifier:
    """Sends ids from its own thread over one connection, so no answer waits for the broker and no message needs a new
    connection."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._waiting: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)
        self._thread.start()

    async def notify(self, task: str, object_id: str) -> None:
        """Call it after the commit. Never blocks; if the broker is unavailable the row is safe, so the caller sees no
        error."""
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put((task, object_id))

    def close(self) -> None:
        """Send the waiting messages if that is quick."""
        self._waiting.put(None)
        self._thread.join(CLOSING_SECONDS)

    def _run(self) -> None:
        producer = None
        while (message := self._waiting.get()) is not None:
            task, object_id = message
            try:
                producer = producer or queue.open_producer(self._celery)
                queue.send(self._celery, task, object_id, producer)
            except queue.BrokerAway as away:
                fields = {"task": task, "object_id": object_id, "reason": str(away)}
                logger.warning("the broker is away; not sent", extra=fields)
                if producer is not None:
                    producer.connection.release()
                producer = None
        if producer is not None:
            producer.connection.release()
