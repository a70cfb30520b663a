"""What a worker does before it consumes: say that it is here and what it can build, and look for what waits."""

import logging
import socket
import sys
import time
from collections.abc import Callable, Sequence

from sqlalchemy import select
from sqlalchemy.exc import ProgrammingError

from app.db.engine import Store
from app.db.models import Dataset, Job
from app.domain.catalog import Catalog
from app.domain.states import TERMINAL_JOB_STATES, DatasetState, JobState
from app.queue import TRAINING_QUEUE
from app.services import catalog as catalogue
from app.settings import Settings
from worker.child import Child
from worker.lease import STORE_AWAY
from worker.scratch import sweep_jobs
from worker.supervisor import training_environment

CATALOG = (sys.executable, "-m", "worker.training.catalog")
_RETRY_SECONDS = 2.0

log = logging.getLogger(__name__)


def announce(settings: Settings, store: Store, queue: str) -> str:
    """Publish what this worker is and can build; gives the worker's id. Waits for a store that is away."""
    catalog = read_catalog(settings) if queue == TRAINING_QUEUE else None
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


def sweep(settings: Settings, store: Store) -> None:
    """Remove what is left of jobs that have ended elsewhere."""

    def is_over(job_id: str) -> bool:
        with store.read() as session:
            state = session.scalar(select(Job.state).where(Job.id == job_id))
        return state is None or state in TERMINAL_JOB_STATES

    sweep_jobs(settings, is_over)


def nudge_waiting(store: Store, queue: str, send: Callable[[str], None]) -> None:
    """Send the id of everything that waits in this queue: a message may have been lost while nobody consumed.
    One too many does no harm."""
    with store.read() as session:
        if queue == TRAINING_QUEUE:
            waiting = session.scalars(select(Job.id).where(Job.state == JobState.QUEUED).order_by(Job.id))
        else:
            waiting = session.scalars(
                select(Dataset.id).where(Dataset.state == DatasetState.VALIDATING).order_by(Dataset.id)
            )
        ids = list(waiting)
    for object_id in ids:
        send(object_id)
    if ids:
        log.info("%d waited", len(ids))
