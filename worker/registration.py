"""Register a worker before it takes messages: its name, its queue, and the networks that it can build."""

import logging
import socket
import sys
import tempfile
import time
from collections.abc import Sequence

from sqlalchemy.exc import ProgrammingError

from app import isolation
from app.db.engine import Store
from app.domain.catalog import Catalog
from app.queue import TRAINING_QUEUE
from app.services import catalog as catalogue
from app.services import workers
from app.settings import Settings
from worker import machine
from worker.child import Child
from worker.lease import STORE_AWAY
from worker.outage import first_line
from worker.supervisor import runtime_config

CATALOG = (sys.executable, "-m", "worker.training.catalog")
_RETRY_SECONDS = 2.0

log = logging.getLogger(__name__)


def register(settings: Settings, store: Store, queue: str, command: Sequence[str] = CATALOG) -> str:
    """Store what this worker is and, as `command` prints it, can build. Waits for a store that is away.

    Returns the worker's id.
    """
    catalog = read_catalog(settings, command) if queue == TRAINING_QUEUE else None
    while True:
        try:
            with store.write() as session:
                worker_id = catalogue.register(
                    session,
                    socket.gethostname(),
                    queue,
                    settings.device,
                    catalog,
                    machine=None if catalog is None else machine.kind(settings),
                    memory_bytes=machine.memory_bytes(),
                )
        except (*STORE_AWAY, ProgrammingError) as error:  # the latter: Postgres without our tables
            log.warning("The store is away, or `tdmr migrate` has not run yet: %s", first_line(error))
            time.sleep(_RETRY_SECONDS)
        else:
            log.info("%s serves the queue %r", worker_id, queue)
            return worker_id


def unregister(store: Store, worker_id: str) -> None:
    """Note that the worker was told to stop. A store that is away learns it from the missing signs of life."""
    try:
        with store.write() as session:
            workers.say_goodbye(session, worker_id)
    except STORE_AWAY as error:
        log.warning("The store is away and does not know that this worker stops: %s", first_line(error))


def read_catalog(settings: Settings, command: Sequence[str] = CATALOG) -> Catalog:
    """What `python -m worker.training.catalog` prints; in a process of its own, since it imports torch.

    Raises:
        RuntimeError: if it fails; this machine can then train nothing.
    """
    printed = ""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as runtime:
        runtime.write(runtime_config(settings).model_dump_json())
        runtime.flush()
        child = Child([*command, "--runtime", runtime.name], env=isolation.environment())
        while not child.ended():
            printed = child.read(timeout=0.2) or printed
        status = child.close()
    if status != 0:
        raise RuntimeError(f"the catalogue cannot be read (status {status}):\n{child.stderr_tail()}")
    return Catalog.model_validate_json(printed)
