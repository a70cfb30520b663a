"""Tell the workers, once the row is there."""

import logging
import threading
from queue import SimpleQueue

from celery import Celery
from kombu.exceptions import OperationalError

from app import queue

MOST_WAITING = 10_000
"""More are dropped: whoever cannot send so many has no broker, and a caretaker sends what was lost."""
CLOSING_SECONDS = 2.0

logger = logging.getLogger(__name__)


class Nudger:
    """Sends ids from a thread of its own, over a connection that it keeps: nobody's answer waits for the broker, and
    nothing is set up anew for each message."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._waiting: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="nudger", daemon=True)
        self._thread.start()

    async def nudge(self, task: str, object_id: str) -> None:
        """Call it after the commit. Waits for nothing; where the broker is away the row is safe, so this is no error of
        the caller's."""
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put((task, object_id))

    def close(self) -> None:
        """Send what waits, if that takes no longer than a moment."""
        self._waiting.put(None)
        self._thread.join(CLOSING_SECONDS)

    def _run(self) -> None:
        producer = None
        while (nudge := self._waiting.get()) is not None:
            task, object_id = nudge
            try:
                producer = producer or queue.open_producer(self._celery)
                queue.send(self._celery, task, object_id, producer)
            except (OperationalError, OSError):
                fields = {"task": task, "object_id": object_id}
                logger.warning("the broker is away; not sent", extra=fields, exc_info=True)
                if producer is not None:
                    producer.connection.release()
                producer = None
        if producer is not None:
            producer.connection.release()
