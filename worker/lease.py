"""Keep a claim alive: heartbeats come from a thread of their own, so nothing that the supervisor waits for delays them.

The supervisor calls `check()` between its steps. It raises when the supervisor must stop, and says why.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from app.db.engine import Store
from app.db.queries.claims import Heartbeat
from app.domain.states import StopRequest
from app.settings import Settings
from worker.outage import first_line

STORE_AWAY = (OperationalError, InterfaceError, PoolTimeout)
"""The database cannot be reached or is locked: it may work in a moment. Anything else is a mistake of ours."""
_RETRY_SECONDS = 0.5

log = logging.getLogger(__name__)
T = TypeVar("T")


class LeaseLost(Exception):
    """The claim is over, or may be: kill the child, write nothing, leave."""


class CancelAsked(Exception):
    """The user wants the job to end."""


class HandBack(Exception):
    """The holder must save what it has and free the machine."""


class PauseAsked(HandBack):
    """The user wants to go on later."""


class WorkerStopping(HandBack):
    """This worker is to stop."""


class Lease:
    """One claim, kept alive from entering to leaving the `with` block."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        stopping: threading.Event,
        *,
        beat: Callable[[], Heartbeat],
        read: Callable[[], Heartbeat] | None = None,
        waiting: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            stopping: set when the worker is to stop.
            beat: writes a sign of life. Called every `heartbeat_seconds`, and earlier while `waiting()`.
            read: only reads how the claim stands. Called every `cancel_poll_seconds` in between.
        """
        self._settings, self._store, self._stopping = settings, store, stopping
        self._beat, self._read, self._waiting = beat, read, waiting
        self._last_beat = time.monotonic()
        self._over, self._has_killed = False, False
        self._stop: StopRequest | None = None
        self.preview_wanted: str | None = None
        """The student of whose latest preview somebody wants the ONNX file, as the last heartbeat was told."""
        self._error: Exception | None = None
        self._kill: Callable[[], None] = lambda: None
        self._left = threading.Event()
        # in a copy of our context, so that its log lines tell whose heartbeat it is
        self._thread = threading.Thread(target=copy_context().run, args=(self._keep,), name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        threading.Thread(target=self._watch, name="fence", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        # a store that hangs must not hang us: the thread is a daemon, and what it may yet write names an ended claim
        self._thread.join(timeout=1)

    def check(self) -> None:
        """
        Raises:
            LeaseLost: somebody else may hold it now.
            CancelAsked: the user wants it to end.
            HandBack: the user wants to go on later, or this worker is to stop.
        """
        self.check_held()
        if self._stop == StopRequest.CANCEL:
            raise CancelAsked
        if self._stop == StopRequest.PAUSE:
            raise PauseAsked
        if self._stopping.is_set():
            raise WorkerStopping

    def guard(self, kill: Callable[[], None]) -> None:
        """Call `kill` once no heartbeat got through for too long, even where whoever should `check()` hangs in a store
        that does not answer."""
        self._kill = kill

    def write(self, change: Callable[[Session], T]) -> T:
        """Run `change` in a transaction, again and again while the store is away, for as long as the claim may stand.

        A commit whose answer was lost is run again too: `change` must bear that.

        Raises:
            LeaseLost: the store was away for too long.
        """
        while True:
            try:
                with self._store.write() as session:
                    return change(session)
            except STORE_AWAY as error:
                log.warning("The store is away: %s", first_line(error))
            if self._is_fenced():
                raise LeaseLost("the store is away")
            time.sleep(_RETRY_SECONDS)

    def check_held(self) -> None:
        """
        Raises:
            LeaseLost: as `check`.
        """
        if self._error is not None:
            raise RuntimeError("the heartbeat failed") from self._error
        if self._over:
            raise LeaseLost("it was taken over or has ended")
        if self._has_killed or self._is_fenced():
            raise LeaseLost(f"no heartbeat got through for {self._settings.fence_seconds:g} s")

    def _is_fenced(self) -> bool:
        return time.monotonic() - self._last_beat > self._settings.fence_seconds

    def _watch(self) -> None:
        while not self._left.wait(_RETRY_SECONDS):
            if self._is_fenced():
                self._has_killed = True  # also where a heartbeat gets through before anybody asks
                self._kill()
                return

    def _keep(self) -> None:
        next_beat = time.monotonic() + self._settings.heartbeat_seconds
        while not self._left.wait(min(self._settings.cancel_poll_seconds, self._settings.heartbeat_seconds)):
            started = time.monotonic()
            try:
                if started >= next_beat or self._waiting():
                    answer = self._beat()
                    # counted from before the write: the reaper may have seen it as early as that
                    self._last_beat, next_beat = started, started + self._settings.heartbeat_seconds
                elif self._read is not None:
                    answer = self._read()
                else:
                    continue
            except STORE_AWAY as error:
                log.warning("A heartbeat did not get through: %s", first_line(error))
                continue
            except Exception as error:  # ours; the supervisor's next check() raises it
                self._error = error
                return
            self._over, self._stop = not answer.alive, answer.stop_requested
            self.preview_wanted = answer.preview_wanted
            if self._over:
                return
