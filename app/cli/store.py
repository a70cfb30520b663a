"""`tdmr migrate` and `tdmr check`: the database's schema, and whether everything answers."""

import socket
import sys

import click
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from app.cli.common import read_settings
from app.db.engine import Store
from app.db.migrate import upgrade
from app.queue import DATASETS_QUEUE, TRAINING_QUEUE, make_celery
from app.services import health, trackings, workers
from app.settings import Settings
from app.storage.blobs import Blobs


@click.command()
def migrate() -> None:
    """Migrate the database (TDMR_DATABASE_URL) to the schema of this version.

    Run it before the first start, and after each upgrade before the new processes start. It is safe to repeat.
    """
    url = read_settings().database
    shown = make_url(url).render_as_string(hide_password=True)
    try:
        upgrade(url)
    except OperationalError as error:
        raise click.ClickException(f"{shown} does not answer: {error.orig}") from None
    click.echo(f"{shown} is up to date.")


@click.command()
@click.option(
    "--queue",
    type=click.Choice([TRAINING_QUEUE, DATASETS_QUEUE]),
    help="Ask for this host's worker for that queue and TDMR_DEVICE only, and require that it runs.",
)
def check(queue: str | None) -> None:
    """Check that database, broker and storage answer and that workers give signs of life; else the exit status is 1.

    Every worker is asked for that has registered and was not told to stop. Where this host has an import worker and
    TDMR_MLFLOW_URI is set, MLflow must be installed. Meant for health checks of containers: it
    reads the same settings as the service and imports no torch.
    """
    settings = read_settings()
    store = Store(settings.database)
    answers = health.check(store, make_celery(settings), Blobs(settings.storage))
    found = {name: "ok" if answered else "away" for name, answered in answers.items()}
    if answers["database"]:
        with store.read() as session:
            lives = workers.lives(session)
        if queue is None:
            found |= {
                f"{life.queue} worker on {life.hostname} ({life.device})": _sign(life, settings) for life in lives
            }
        else:
            mine = (socket.gethostname(), queue, settings.device)
            here = [life for life in lives if (life.hostname, life.queue, life.device) == mine]
            found["worker"] = _sign(here[0], settings) if here else "away"
        imports_here = any((life.hostname, life.queue) == (socket.gethostname(), DATASETS_QUEUE) for life in lives)
        if imports_here and queue != TRAINING_QUEUE:
            found |= {"mlflow": lacking} if (lacking := trackings.lacking_package(settings.tracking_server)) else {}
    for name, state in found.items():
        click.echo(f"{name}: {state}")
    sys.exit(any(state != "ok" for state in found.values()))


def _sign(life: workers.Life, settings: Settings) -> str:
    recent = life.is_recent(settings.lease_seconds)
    return "ok" if recent else f"no sign of life for {life.silent_seconds:.0f} s"
