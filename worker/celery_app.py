"""Configure how a worker takes messages. Each setting has its reason: the database recovers lost work, so the broker
need not."""

import threading
import warnings
from typing import Any

from celery import Celery, signals
from celery.exceptions import SecurityWarning

from app.logs import configure_logging
from app.queue import make_celery
from app.settings import Settings
from worker.consumer import PatientConsumer


def make_worker_celery(settings: Settings) -> Celery:
    """The shared application, with the settings that concern the consuming side only."""
    celery = make_celery(settings)
    celery.conf.update(
        # Acknowledged on receipt. With late acks Redis delivers a message again after the visibility timeout, so any
        # job that takes longer would be started a second time.
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        # One job at a time, in the worker's own process: the job's work is done by a child process anyway, so a pool
        # would be one more process to lose, and it would hide SIGTERM from the supervisor. A second GPU is a second
        # worker.
        worker_pool="solo",
        worker_concurrency=1,
        # A message that waits inside a busy worker is one that no idle worker can take.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=settings.broker.startswith("redis"),
        # A worker that is busy answers no remote control, so there is none; the API tells what runs.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        # Celery's soft shutdown sleeps inside the signal handler, which in this pool is the supervisor's own thread.
        # Ours is `stop_grace_seconds`: SIGTERM reaches the supervisor, the child writes a checkpoint, and the job is
        # handed back.
        worker_soft_shutdown_timeout=0.0,
        # Workers and broker may start in any order, and the broker may go away at any time. What Redis answers with an
        # error (full, read-only, a password) is an error of the channel to Celery, which by default ends the worker.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        worker_consumer=PatientConsumer,
    )
    return celery


def run_worker(celery: Celery, queue: str, log_level: str, stopping: threading.Event) -> int:
    """Consume `queue` until SIGTERM or SIGINT, which sets `stopping`. Returns the exit status."""

    def stop(**_: Any) -> None:
        stopping.set()

    def log_as_the_service_does(**_: Any) -> None:
        configure_logging(log_level)

    # Celery warns of running as root, which matters where messages are pickled; ours are JSON
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # weak=False: Celery would forget functions that only this frame holds
    signals.worker_shutting_down.connect(stop, weak=False)
    signals.setup_logging.connect(log_as_the_service_does, weak=False)
    worker = celery.Worker(
        queues=[queue],
        hostname=f"{queue}@%h",
        loglevel=log_level.upper(),
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    return int(worker.exitcode or 0)
