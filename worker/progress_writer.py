"""Write the child's lines to the store: all that have come, in one transaction about once a second."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy.orm import Session

from app.db.engine import Store
from app.db.queries.claims import Claim, Heartbeat
from app.domain.progress import EventLine, Line, MetricLine, ProgressLine, StageLine
from app.services import leases
from app.services.leases import JOBS
from worker.lease import Lease


class ProgressWriter:
    """Lines that are not stored yet. One thread adds them, the heartbeat's thread writes them."""

    def __init__(self, store: Store, claim: Claim) -> None:
        self._store, self._claim = store, claim
        self._lines: list[Line] = []
        self._writing = threading.Lock()

    def add(self, line: Line) -> None:
        self._lines.append(line)

    def waiting(self) -> bool:
        return bool(self._lines)

    def beat(self) -> Heartbeat:
        """A sign of life, and all lines so far with it. They stay here until they are committed."""
        with self._writing:
            lines = tuple(self._lines)
            with self._store.write() as session:
                alive = self._write(session, lines)
                answer = JOBS.beat(session, self._claim) if alive else Heartbeat(alive=False)
            del self._lines[: len(lines)]
        return answer

    def read(self) -> Heartbeat:
        """How the claim stands, without writing."""
        with self._store.read() as session:
            return JOBS.read(session, self._claim)

    def end(self, lease: Lease, change: Callable[[Session], bool]) -> bool:
        """Write what is left and make `change`, which ends the claim, in one transaction. False: it was over before."""
        with self._writing:
            return lease.write(lambda session: self._write(session, tuple(self._lines)) and change(session))

    def _write(self, session: Session, lines: Sequence[Line]) -> bool:
        return all(leases.record(session, self._claim, **step) for step in _by_stage(lines))


def _by_stage(lines: Sequence[Line]) -> Iterator[dict[str, Any]]:
    """Arguments for `leases.record`, one set for each stage, so that a short stage is not passed over."""
    step: dict[str, Any] = {}
    for line in lines:
        if isinstance(line, StageLine | ProgressLine | MetricLine):
            if step and step.get("stage") != line.stage:
                yield step
                step = {}
            step["stage"] = line.stage
        if isinstance(line, ProgressLine):
            step |= {"progress": line.progress, "eta_seconds": line.eta_seconds}
        elif isinstance(line, MetricLine):
            step.setdefault("points", []).append(line)
        elif isinstance(line, EventLine):
            step.setdefault("events", []).append(line)
    if step:
        yield step
