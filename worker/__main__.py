"""`python -m worker --queue training`: one worker. `tdmr worker` is the same, with help."""

import argparse
import logging
import sys
import threading
from collections.abc import Sequence
from functools import partial

from celery import Celery
from kombu.exceptions import OperationalError

from app.db.engine import Store
from app.logs import configure_logging
from app.queue import DATASETS_QUEUE, IMPORT_TASK, TRAIN_TASK, TRAINING_QUEUE, send
from app.settings import Settings
from app.storage.blobs import Blobs
from worker.announce import CATALOG, announce
from worker.caretaker import Caretaker
from worker.celery_app import make_worker_celery, run_worker
from worker.importing import Importer
from worker.supervisor import TRAIN, Supervisor
from worker.tasks import add_importing, add_training

log = logging.getLogger("worker")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m worker", description="Run one worker.")
    parser.add_argument("--queue", choices=[TRAINING_QUEUE, DATASETS_QUEUE], required=True)
    return serve(parser.parse_args().queue)


def serve(queue: str, *, command: Sequence[str] = TRAIN, catalog: Sequence[str] = CATALOG) -> int:
    """Work until SIGTERM or SIGINT. Returns the exit status.

    Args:
        command: what trains.
        catalog: prints what that can build.
    """
    settings = Settings()
    configure_logging(settings.log_level)
    store, blobs, stopping = Store(settings.database), Blobs(settings.storage), threading.Event()
    celery = make_worker_celery(settings)
    worker_id = announce(settings, store, queue, catalog)
    if queue == TRAINING_QUEUE:
        nudge = partial(_nudge, celery, TRAIN_TASK)
        supervisor = Supervisor(settings, store, blobs, worker_id, stopping, command=command, requeue=nudge)
        add_training(celery, supervisor)
    else:
        nudge = partial(_nudge, celery, IMPORT_TASK)
        add_importing(celery, Importer(settings, store, blobs, worker_id, stopping, requeue=nudge))
    caretaker = Caretaker(settings, store, blobs, celery, stopping)
    caretaker.look()  # messages may have been lost while nobody consumed
    caretaker.start()
    return run_worker(celery, queue, settings.log_level, stopping)


def _nudge(celery: Celery, task: str, object_id: str) -> None:
    try:
        send(celery, task, object_id)
    except (OperationalError, OSError) as error:
        log.warning("%s is queued, but the broker is away: %s", object_id, error)


if __name__ == "__main__":
    sys.exit(main())
