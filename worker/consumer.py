"""Celery's consumer, for a broker that may go away, or answer with errors, at any time and for any length of time."""

import logging
import time
import warnings
from typing import Any

from celery.exceptions import CPendingDeprecationWarning
from celery.worker.consumer import Consumer
from celery.worker.consumer.consumer import CONNECTION_RETRY
from celery.worker.state import maybe_shutdown
from kombu.connection import Connection

from worker.outage import Outage

RETRY_SECONDS = 1.0
"""Celery waits longer each time, up to half a minute: as long as that a job would wait for a Redis that is back."""
SETTLED_SECONDS = 5.0
"""Connecting proves little: Redis may refuse the first command. The outage is over after so long without an error."""

log = logging.getLogger(__name__)


class PatientConsumer(Consumer):
    """Waits until messages can be taken again, and says so once.

    `broker_channel_error_retry` makes Celery start the consumer again after whatever error Redis answers with; without
    a pause it would do so many times a second, with two lines each.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._outage = Outage(log, "The broker", "no message is taken")
        self._settled: Any = None
        """The timer's entry that will say that the outage is over."""
        logging.getLogger(Consumer.__module__).addFilter(_says_something_else)
        # each time the broker goes, of tasks acknowledged late; ours are on receipt. Celery has set "always" by now
        warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)

    def ensure_connected(self, conn: Connection) -> Connection:
        connected = conn.ensure_connection(
            lambda error, interval: self._outage.begin(error),
            interval_start=RETRY_SECONDS,
            interval_step=0,
            interval_max=RETRY_SECONDS,
            callback=maybe_shutdown,
        )
        self.first_connection_attempt = False
        return connected

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        self._pause(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        super().on_connection_error_after_connected(exc)
        self._pause(exc)

    def on_ready(self) -> None:
        super().on_ready()
        self._settled = self.timer.call_after(SETTLED_SECONDS, self._outage.end)

    def _pause(self, error: Exception) -> None:
        if self._settled is not None:
            self._settled.cancel()
        self._outage.begin(error)
        deadline = time.monotonic() + RETRY_SECONDS
        while time.monotonic() < deadline:
            maybe_shutdown()  # raises once the worker was told to stop
            time.sleep(0.1)


def _says_something_else(record: logging.LogRecord) -> bool:
    return CONNECTION_RETRY not in (record.args or ())
