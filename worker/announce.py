"""What a worker does before it consumes: say that it is here and what it can build."""

import logging
import socket
import sys
import time
from collections.abc import Sequence

from sqlalchemy.exc import ProgrammingError

from app.db.engine import Store
from app.domain.catalog import Catalog
from app.queue import TRAINING_QUEUE
from app.services import catalog as catalogue
from app.settings import Settings
from worker.child import Child
from worker.lease import STORE_AWAY
from worker.supervisor import training_environment

CATALOG = (sys.executable, "-m", "worker.training.catalog")
_RETRY_SECONDS = 2.0

log = logging.getLogger(__name__)


def announce(settings: Settings, store: Store, queue: str, command: Sequence[str] = CATALOG) -> str:
    """Publish what this worker is and, as `command` prints it, can build; gives the worker's id. Waits for a store that
    is away."""
    catalog = read_catalog(settings, command) if queue == TRAINING_QUEUE else None
    while True:
        try:
            with store.write() as session:
                worker_id = catalogue.announce(session, socket.gethostname(), queue, settings.device, catalog)
        except (*STORE_AWAY, ProgrammingError) as error:  # the latter: Postgres without our tables
            log.warning("The store is away, or `tdmr migrate` has not run yet: %s", str(error).splitlines()[0])
            time.sleep(_RETRY_SECONDS)
        else:
            log.info("%s serves the queue %r", worker_id, queue)
            return worker_id


def read_catalog(settings: Settings, command: Sequence[str] = CATALOG) -> Catalog:
    """What `python -m worker.training.catalog` prints; in a process of its own, since it imports torch.

    Raises:
        RuntimeError: if it fails; this machine can then train nothing.
    """
    child = Child(command, env=training_environment(settings))
    printed = ""
    while not child.ended():
        printed = child.read(timeout=0.2) or printed
    status = child.close()
    if status != 0:
        raise RuntimeError(f"the catalogue cannot be read (status {status}):\n{child.stderr_tail()}")
    return Catalog.model_validate_json(printed)
