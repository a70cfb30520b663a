"""Measure once how fast this kind of machine is, while the worker has nothing else to do."""

import logging
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
from pydantic import ValidationError

from app import isolation
from app.db.engine import Store
from app.domain.progress import LINE, SpeedLine
from app.domain.speeds import Work
from app.services import speeds
from app.settings import Settings
from worker import cpus, machine
from worker.child import Child
from worker.lease import STORE_AWAY
from worker.outage import first_line
from worker.supervisor import runtime_config

MEASURE = (sys.executable, "-m", "worker.training.measure")
IDLE_SECONDS = 10.0
"""A worker has been idle for so long before it measures."""
BUSY_PERCENT = 50.0
"""Of the machine's cores. On one that does other work a measurement would tell of that."""
RETRY_SECONDS = 60.0
_POLL_SECONDS = 0.2
_NEEDED = (Work.TRAIN, Work.LEARN, Work.STEP, Work.FORWARD, Work.START, Work.DECODE, Work.EXPORT, Work.DESCRIBE)
"""Where all of these are known, nothing is measured."""

log = logging.getLogger(__name__)


class Measurer:
    """In a thread of its own. What it starts ends as soon as there is a job, which it must not delay."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        stopping: threading.Event,
        *,
        is_working: Callable[[], bool],
        command: Sequence[str] = MEASURE,
    ) -> None:
        self._settings, self._store, self._stopping = settings, store, stopping
        self._is_working, self._command = is_working, command
        self._machine = machine.kind(settings)

    def start(self) -> None:
        threading.Thread(target=self._run, name="measurer", daemon=True).start()

    def measure(self) -> bool:
        """Whether it has come to its end; what it has told until then is kept in any case."""
        with tempfile.TemporaryDirectory(prefix="tdmr-measure-") as folder:
            runtime = Path(folder, "runtime.json")
            runtime.write_text(runtime_config(self._settings).model_dump_json())
            environment = isolation.environment() | cpus.environment(self._settings)
            child = Child([*self._command, "--runtime", str(runtime)], env=environment)
            told: list[SpeedLine] = []
            try:
                while not child.ended():
                    if self._is_working() or self._stopping.is_set():
                        return False
                    line = child.read(_POLL_SECONDS)
                    if line is not None and (heard := _heard(line)) is not None:
                        told.append(heard)
            finally:
                status = child.close()
                self._keep(told)
        if status != 0:
            log.warning("The machine could not be measured (status %d):\n%s", status, child.stderr_tail())
        return status == 0

    def is_known(self) -> bool:
        """Whether a worker of this kind of machine has measured it before."""
        with self._store.read() as session:
            known = {row.work for row in speeds.known(session, self._machine)}
        return known.issuperset(_NEEDED)

    def _run(self) -> None:
        idle = 0.0
        while not self._stopping.wait(1.0):
            idle = 0.0 if self._is_working() else idle + 1.0
            if idle < IDLE_SECONDS:
                continue
            try:
                if self.is_known():
                    return
                if psutil.cpu_percent(interval=1.0) < BUSY_PERCENT:
                    log.info("The worker is idle and measures how fast this machine is")
                    if self.measure():
                        return
                    if not self._is_working():
                        self._stopping.wait(RETRY_SECONDS)
            except STORE_AWAY as error:
                log.info("The store is away, nothing is measured: %s", first_line(error))
                self._stopping.wait(RETRY_SECONDS)
            except Exception:
                log.exception("The machine could not be measured")
                return
            idle = 0.0

    def _keep(self, told: Sequence[SpeedLine]) -> None:
        if told:
            with self._store.write() as session:
                speeds.learn(session, self._machine, told, of_jobs=False)


def _heard(line: str) -> SpeedLine | None:
    try:
        told = LINE.validate_json(line)
    except ValidationError:
        return None
    return told if isinstance(told, SpeedLine) else None
