"""What the messages ask for."""

from celery import Celery

from app.queue import IMPORT_TASK, TRAIN_TASK
from worker.importing import Importer
from worker.supervisor import Supervisor


def add_training(celery: Celery, supervisor: Supervisor) -> None:
    @celery.task(name=TRAIN_TASK)
    def run_job(job_id: str) -> None:
        """A message says that some job waits. Which one runs is for the store to say, which knows the priorities."""
        supervisor.run_next()


def add_importing(celery: Celery, importer: Importer) -> None:
    @celery.task(name=IMPORT_TASK)
    def import_dataset(dataset_id: str) -> None:
        importer.run(dataset_id)
