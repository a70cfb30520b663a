"""Send what is in the outbox to its receivers. Every import worker does so in threads beside its work; any number may
do so at once.

A receiver may hang, and only its own tenant's deliveries to its own host wait for it: so many are under way to one host
at a time, so many of one tenant, and so many in all.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib.metadata import version

from app.db.engine import Store
from app.db.models import utcnow
from app.db.queries import webhooks as queries
from app.domain.errors import DestinationRefused
from app.domain.webhooks import KEPT_ANSWER_BYTES
from app.log_context import bound
from app.outbound import Answer, NotReached, Outbound
from app.services import deliveries
from app.services.deliveries import Attempt, Outcome, Slots
from app.services.signing import signed_headers
from app.settings import Settings
from worker.lease import STORE_AWAY
from worker.outage import Outage, first_line

AT_ONCE, AT_ONCE_OF_TENANT, AT_ONCE_TO_HOST = 32, 8, 4
"""Deliveries under way of one worker. Each is a thread that waits."""
POLL_SECONDS = 1.0
"""How long an event may lie in the outbox before it is sent."""
PRUNE_SECONDS = 3600.0
RECORD_SECONDS = 25.0
"""With the longest attempt it stays below the time of a claim."""
GONE = 410
HEADERS = {"Content-Type": "application/json", "User-Agent": f"tdmr/{version('tdmr')} (webhooks)"}

log = logging.getLogger(__name__)


class WebhookSender:
    """Looks into the outbox in a thread of its own until `stopping` is set."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        stopping: threading.Event,
        *,
        outbound: Outbound | None = None,
        clock: Callable[[], datetime] = utcnow,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._store, self._stopping, self._clock, self._jitter = store, stopping, clock, jitter
        self._outbound = outbound or Outbound(settings.destinations)
        self._kept = timedelta(days=settings.keep_delivery_days)
        self._under_way: dict[str, Attempt] = {}
        self._changed = threading.Condition()
        self._outage = Outage(log, "The store", "no webhook is sent")
        self._failing: str | None = None
        """The last error of its own: one that comes again every second is logged once."""
        self._next_prune = time.monotonic()

    def start(self) -> None:
        threading.Thread(target=self._run, name="webhooks", daemon=True).start()

    def send_due(self) -> int:
        """Begin to send what is due, as far as there is room; how many."""
        begun = 0
        while attempts := self._claim():
            for attempt in attempts:
                with self._changed:
                    self._under_way[attempt.id] = attempt
                threading.Thread(target=self._deliver, args=(attempt,), name="webhook", daemon=True).start()
            begun += len(attempts)
        return begun

    def prune(self) -> None:
        """Delete deliveries that are over and old."""
        while True:
            with self._store.write() as session:
                if deliveries.prune(session, self._clock() - self._kept) < queries.PRUNED_AT_ONCE:
                    return

    def wait(self, seconds: float) -> bool:
        """Until nothing is under way, for so long at most. What still is then is sent again by another worker."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._under_way, seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.send_due()
                if time.monotonic() >= self._next_prune:
                    self.prune()
                    self._next_prune = time.monotonic() + PRUNE_SECONDS
                self._outage.end()
                self._failing = None
            except STORE_AWAY as error:
                self._outage.begin(error)
            except Exception as error:
                if self._failing != repr(error):
                    log.exception("Webhooks cannot be sent")
                self._failing = repr(error)
            with self._changed:  # one that ends makes room
                self._changed.wait(POLL_SECONDS)

    def _claim(self) -> list[Attempt]:
        with self._changed:
            slots = Slots(AT_ONCE, AT_ONCE_OF_TENANT, AT_ONCE_TO_HOST, self._under_way.values())
        if slots.left <= 0 or self._stopping.is_set():
            return []
        now = self._clock()
        with self._store.read() as session:  # most looks find nothing, and need no lock to do so
            if not queries.is_any_due(session, now):
                return []
        with self._store.write() as session:
            return deliveries.claim(session, now, slots)

    def _deliver(self, attempt: Attempt) -> None:
        with bound(delivery_id=attempt.id, webhook_id=attempt.webhook_id, tenant=attempt.tenant):
            try:
                outcome = self._outcome(attempt)
                log.info("%s: %s", attempt.event_type, outcome.error or f"delivered, {outcome.status}")
                self._record(attempt, outcome)
            except STORE_AWAY as error:
                log.warning("The store is away, so this is sent again: %s", first_line(error))
            except Exception:  # its claim runs out, and it is tried again
                log.exception("The outcome of a delivery cannot be written down")
            finally:
                with self._changed:
                    self._under_way.pop(attempt.id, None)
                    self._changed.notify_all()

    def _record(self, attempt: Attempt, outcome: Outcome) -> None:
        """Write the outcome down, for as long as nobody else can have claimed it.

        Raises:
            STORE_AWAY: the store was away for too long.
        """
        give_up = time.monotonic() + RECORD_SECONDS
        while True:
            try:
                with self._store.write() as session:
                    deliveries.record(session, attempt, outcome, self._clock(), self._jitter())
                return
            except STORE_AWAY:
                if time.monotonic() >= give_up:
                    raise
            time.sleep(POLL_SECONDS)

    def _outcome(self, attempt: Attempt) -> Outcome:
        """Send it once. An error is part of the outcome, whatever it is."""
        at, started = self._clock(), time.monotonic()
        status, kept, error = None, None, None
        try:
            headers = HEADERS | signed_headers(attempt.keys, attempt.event_id, at, attempt.body)
            with self._outbound.open("POST", attempt.url, headers=headers, content=attempt.body.encode()) as answer:
                status = answer.status
                kept = _beginning(answer)
            error = _failure(status)
        except DestinationRefused as refused:
            error = f"{refused.detail} {refused.hint}"
        except NotReached as not_reached:
            error = str(not_reached)
        except Exception:
            log.exception("A delivery failed")
            error = "The service itself failed; its log has the cause."
        seconds = time.monotonic() - started
        return Outcome(at, seconds, status, error, kept, is_gone=status == GONE)


def _beginning(answer: Answer) -> str:
    """Of the answer's body, for its owner to see what the receiver had to say. Its status counts, so what goes wrong
    behind that does not matter."""
    try:
        content = answer.start(KEPT_ANSWER_BYTES)
    except NotReached:
        return ""
    return content.decode("utf-8", "replace").replace("\x00", "\ufffd")  # Postgres stores no NUL


def _failure(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"The receiver answered {status}, a redirect; redirects are not followed. Name the final URL."
    return f"The receiver answered {status}."
