"""`tdmr check`: what a container's or an orchestrator's health check asks."""

import socket
import sys

import click

from app.cli.common import read_settings
from app.db import queries
from app.db.engine import Store
from app.queue import DATASETS_QUEUE, TRAINING_QUEUE, make_celery
from app.services import health
from app.storage.blobs import Blobs


@click.command()
@click.option(
    "--queue",
    type=click.Choice([TRAINING_QUEUE, DATASETS_QUEUE]),
    help="Also ask whether this host's worker of that queue (and TDMR_DEVICE) has started up and announced itself.",
)
def check(queue: str | None) -> None:
    """Ask whether database, broker and storage answer from this machine; the exit status is 1 if one does not.

    It reads the same settings as the processes it speaks for, and imports no torch.
    """
    settings = read_settings()
    store = Store(settings.database)
    answers = health.check(store, make_celery(settings), Blobs(settings.storage))
    if queue is not None and answers["database"]:
        with store.read() as session:
            answers["worker"] = bool(queries.get_worker(session, socket.gethostname(), queue, settings.device))
    for name, answered in answers.items():
        click.echo(f"{name}: {'ok' if answered else 'away'}")
    sys.exit(not all(answers.values()))
