"""Signs of life of a worker; and the end of one that is deaf.

A worker is deaf when it is idle and messages wait, but it takes none: something between Celery and the broker is broken
that reconnecting has not mended. Nothing in the process can be trusted to mend it, so the process leaves, and whoever
started it (Compose, systemd, `tdmr up`) starts it again.
"""

import logging
import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from celery import Celery

from app.db.engine import Store
from app.queue import BrokerAway, waiting_messages
from app.services import workers
from app.settings import Settings
from worker.lease import STORE_AWAY

EXIT_DEAF = os.EX_UNAVAILABLE
log = logging.getLogger(__name__)


def leave() -> None:
    """End this process at once. Its main thread may be anywhere in Celery, so it cannot be asked; nothing is lost,
    since an idle worker holds nothing."""
    os._exit(EXIT_DEAF)


class Liveness:
    """Looks every `heartbeat_seconds`, in a thread of its own."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        celery: Celery,
        queue: str,
        worker_id: str,
        stopping: threading.Event,
        leave: Callable[[], None] = leave,
    ) -> None:
        self._settings, self._store, self._celery = settings, store, celery
        self._queue, self._worker_id, self._stopping, self._leave = queue, worker_id, stopping, leave
        self._working = threading.Lock()
        self._took_one = False
        self._in_vain = 0
        """How often in a row messages waited while this worker took none. Counted in looks and not in seconds: a
        process that was stopped for an hour has not been deaf for an hour."""
        self._patience = math.ceil(settings.lease_seconds / settings.heartbeat_seconds)

    def start(self) -> None:
        threading.Thread(target=self._run, name="liveness", daemon=True).start()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around everything that a message starts."""
        with self._working:
            self._took_one = True
            yield

    def is_working(self) -> bool:
        """Whether something runs that a message has started."""
        return self._working.locked()

    def look(self) -> None:
        """Give a sign of life, unless it is time to leave."""
        if self._hears():
            self._in_vain = 0
        else:
            self._in_vain += 1
        # with the lock held no job begins while we leave
        if self._in_vain >= self._patience and self._working.acquire(blocking=False):
            log.critical(
                "Messages have waited for %g s and this idle worker took none. It exits, to be started again.",
                self._in_vain * self._settings.heartbeat_seconds,
            )
            self._leave()
            self._working.release()
        try:
            with self._store.write() as session:
                workers.give_sign_of_life(session, self._worker_id)
        except STORE_AWAY as error:
            log.debug("no sign of life: %s", error)  # whoever asks for it asks for the store too

    def _hears(self) -> bool:
        """False: something waits, and this worker is idle and has taken nothing since the last look."""
        took_one, self._took_one = self._took_one, False
        if took_one or self._working.locked():
            return True
        try:
            return waiting_messages(self._celery, self._queue) == 0
        except BrokerAway:
            return True  # there is nothing to hear

    def _run(self) -> None:
        while not self._stopping.wait(self._settings.heartbeat_seconds):
            try:
                self.look()
            except Exception:
                log.exception("The look for signs of life failed")
