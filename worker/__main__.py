"""`python -m worker --queue training`: one worker. `tdmr worker` is the same, with help."""

import argparse
import logging
import sys
import threading
from collections.abc import Sequence
from functools import partial

from celery import Celery

from app import isolation
from app.db.engine import Store
from app.logs import configure_logging
from app.private import keep_private
from app.queue import DATASETS_QUEUE, IMPORT_TASK, TRAIN_TASK, TRAINING_QUEUE, BrokerAway, send
from app.services import trackings
from app.settings import Settings
from app.storage.blobs import Blobs
from worker.celery_app import make_worker_celery, run_worker
from worker.importing import Importer
from worker.liveness import Liveness
from worker.measuring import Measurer
from worker.reconciler import Reconciler
from worker.registration import CATALOG, register, unregister
from worker.supervisor import TRAIN, Supervisor
from worker.tracking.tracker import Tracker
from worker.webhooks import WebhookSender

log = logging.getLogger("worker")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m worker", description="Run one worker.")
    parser.add_argument("--queue", choices=[TRAINING_QUEUE, DATASETS_QUEUE], required=True)
    return serve(parser.parse_args().queue)


def serve(queue: str, *, command: Sequence[str] = TRAIN, catalog: Sequence[str] = CATALOG) -> int:
    """Work until SIGTERM or SIGINT. Returns the exit status.

    Args:
        command: trains; by default `python -m worker.training`.
        catalog: prints the networks that `command` can build.
    """
    settings = Settings()
    if queue == DATASETS_QUEUE and (lacking := trackings.lacking_package(settings.tracking_server)):
        sys.exit(lacking)
    keep_private(settings)
    configure_logging(settings.log_level)
    isolation.tell(confine=settings.confine)
    store, blobs, stopping = Store(settings.database), Blobs(settings.storage), threading.Event()
    celery = make_worker_celery(settings)
    worker_id = register(settings, store, queue, catalog)
    liveness = Liveness(settings, store, celery, queue, worker_id, stopping)
    sender, tracker = None, None
    if queue == TRAINING_QUEUE:
        message = partial(_notify, celery, TRAIN_TASK)
        supervisor = Supervisor(settings, store, blobs, worker_id, stopping, command=command, requeue=message)

        @celery.task(name=TRAIN_TASK)
        def run_job(job_id: str) -> None:
            """A message says that some job waits; the store, which knows the priorities, says which one runs."""
            with liveness.working():
                supervisor.run_next()
    else:
        sender = WebhookSender(settings, store, stopping)
        if (server := settings.tracking_server) is not None:
            tracker = Tracker(settings, server, store, stopping)
        message = partial(_notify, celery, IMPORT_TASK)
        importer = Importer(settings, store, blobs, worker_id, stopping, requeue=message)

        @celery.task(name=IMPORT_TASK)
        def import_dataset(dataset_id: str) -> None:
            with liveness.working():
                importer.run(dataset_id)

    reconciler = Reconciler(settings, store, blobs, celery, stopping)
    reconciler.reconcile()  # messages may have been lost while nobody consumed
    reconciler.start()
    liveness.start()
    if sender is not None:
        sender.start()
    if tracker is not None:
        tracker.start()
    if queue == TRAINING_QUEUE and settings.measure:
        Measurer(settings, store, stopping, is_working=liveness.is_working).start()
    status = run_worker(celery, queue, settings.log_level, stopping)
    if sender is not None:
        sender.wait(settings.stop_grace_seconds)  # what is not told to the store is sent twice
    if tracker is not None:
        tracker.wait(settings.stop_grace_seconds)  # what is not handed back waits for its claim to run out
    if stopping.is_set():
        unregister(store, worker_id)
    return status


def _notify(celery: Celery, task: str, object_id: str) -> None:
    try:
        send(celery, task, object_id)
    except BrokerAway as away:
        log.warning("%s is queued, but the broker is away: %s", object_id, away)


if __name__ == "__main__":
    sys.exit(main())
