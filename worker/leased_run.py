"""What a training run and an import have in common: claim → child → listen → end → clean up.

No session is open while anything long runs, and every write names the claim, so a worker that was taken for dead can do
no harm: its writes hit nothing, and then it leaves.
"""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from app import isolation, log_context
from app.db.engine import Store
from app.db.queries.claims import Claim
from app.settings import Settings
from app.storage.blobs import Blobs
from worker.child import Child
from worker.lease import HandBack, Lease, LeaseLost
from worker.limits import LimitName, Limits, Watchdog
from worker.problems import Failed, Problem

STORE_AWAY_AT_CLAIM = "The store is away, so nothing is claimed: %s. The reconciler sends another message."
_READ_SECONDS = 0.2
C = TypeVar("C", bound=Claim)
log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)  # the settings hold secrets
class LeasedWorker:
    """What a worker of either queue works with."""

    settings: Settings
    store: Store
    blobs: Blobs
    worker_id: str
    stopping: threading.Event
    """Set when the worker is to stop; what runs is then handed back."""
    command: Sequence[str] = field(default=(), kw_only=True)
    """Starts the child."""
    requeue: Callable[[str], None] = field(default=lambda object_id: None, kw_only=True)
    """Called with the id of what was handed back, to tell other workers."""


@dataclass(frozen=True)
class Ending:
    """How a claim ends."""

    how: str
    """For the log."""
    change: Callable[[Session], bool]
    """The write that ends the claim; False if the claim was over before."""
    requeue: bool = False


class LeasedRun(ABC, Generic[C]):
    """One claim, from its child process to the write that ends it. Subclasses say what differs."""

    folder: Path
    """Scratch of this attempt, locked while it runs."""
    limit_problem: Callable[[LimitName, Settings], Problem]
    """What the user is told when the child has passed a limit."""
    grace_seconds = 0.0
    """A child that is told to stop has this long before it is killed."""
    peak_bytes = 0
    """The child's most memory, as it was seen about once a second."""
    needs_network = False
    """Whether the child begins with a network, and gives it up itself."""

    def __init__(
        self, worker: LeasedWorker, claim: C, lease: Lease, folder: AbstractContextManager[Path], limits: Limits
    ) -> None:
        self.worker, self.claim, self.lease = worker, claim, lease
        self._open_folder, self._limits = folder, limits

    @abstractmethod
    def work(self) -> Ending:
        """Do what was claimed."""

    @abstractmethod
    def after_failure(self, error: Exception) -> Ending:
        """What becomes of the claim when `work` has raised `error`."""

    @abstractmethod
    def clean_up(self) -> None:
        """Delete what no row names. The rows decide, not what we believe: a commit whose answer was lost may have got
        through."""

    @abstractmethod
    def hear(self, line: str) -> None:
        """Take a line that the child has printed."""

    def environment(self) -> dict[str, str]:
        """What the child gets beside the variables that are passed on."""
        return {}

    def between_lines(self) -> None:
        """Called several times a second while the child runs."""
        self.lease.check()

    def write_end(self, change: Callable[[Session], bool]) -> bool:
        return self.lease.write(change)

    def run(self) -> None:
        """Bring the claim to an end, or leave it to whoever holds it now."""
        with self._open_folder as self.folder, self.lease:
            try:
                try:
                    self._end(self.work())
                except LeaseLost:
                    raise
                except Exception as error:
                    self._end(self.after_failure(error))
            except LeaseLost as lost:
                log.warning("leaving attempt %d: %s", self.claim.epoch, lost)
            self.clean_up()

    def run_child(self, arguments: Sequence[str]) -> tuple[int, str]:
        """Run the command with `arguments` until it ends. Returns its exit status and the tail of its standard error.

        Raises:
            LeaseLost, CancelAsked, HandBack: as `Lease.check` does; the child is gone.
            Failed: it has passed a limit.
        """
        command = [*self.worker.command, *arguments]
        if self.worker.settings.confine:
            command = isolation.confined(command, network=self.needs_network)
        environment = isolation.environment(proxies=self.needs_network)
        child = Child(command, env=environment | self.environment() | log_context.environment())
        self.lease.guard(child.kill)
        watchdog = Watchdog(child.pid, self._limits)
        try:
            while not child.ended():
                self.between_lines()
                limit = watchdog.passed()
                self.peak_bytes = watchdog.peak_bytes
                if limit:
                    raise Failed(self.limit_problem(limit, self.worker.settings))
                if (line := child.read(_READ_SECONDS)) is not None:
                    self.hear(line)
            self.lease.check_held()  # it may have been killed for that
        except HandBack:
            child.close(self.grace_seconds)  # time for a checkpoint
            while (line := child.read(0)) is not None:  # the curves up to it
                self.hear(line)
            raise
        finally:
            status = child.close()
            log.info("the child has ended with status %d", status)
        return status, child.stderr_tail()

    def _end(self, ending: Ending) -> None:
        if not self.write_end(ending.change):
            raise LeaseLost("it was taken over, has ended or was deleted")
        log.info(ending.how)
        if ending.requeue:
            self.worker.requeue(self.claim.id)
