"""`tdmr up`: the embedded service, as four processes: this one starts the others, and a lost worker again."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

import click
from sqlalchemy.exc import DBAPIError

from app.cli.common import host_option, port_option, read_settings, read_url, service_file
from app.db.engine import Store
from app.db.migrate import upgrade
from app.domain.errors import CatalogEmpty
from app.private import keep_private
from app.queue import DATASETS_QUEUE, TRAINING_QUEUE
from app.services import catalog, trackings, workers
from app.settings import Settings

POLL_SECONDS = 0.1
LOOK_SECONDS = 0.5
"""Between two looks for the training worker, until it is there."""
LEAVE_SECONDS = 10.0
"""Beyond a child's own grace, for what a process does when it is told to stop: hand its job back, end its requests."""
API = "API"
MOST_RESTARTS, RESTARTS_SECONDS = 4, 600.0
"""A worker that exits is started again, so often in so long. That is more often than a job can take its worker with it:
the fourth one fails a job that was lost three times."""


class _Told(Exception):
    """SIGTERM or Ctrl-C."""


@click.command()
@host_option
@port_option
def up(host: str | None, port: int | None) -> None:
    """Start the whole service on this machine: API, an import worker and a training worker.

    All data is kept in TDMR_HOME (.tdmr in the current folder): SQLite, messages, blobs. It prints the address once it
    accepts requests, and writes it to service.json; a second line says that the training worker is ready, too. After
    that only warnings are printed; TDMR_LOG_LEVEL=info adds a line for each request and step. Ctrl-C or SIGTERM stops
    everything; a running job returns to the queue and continues at the next start. A worker that exits is started
    again; one that keeps exiting, or an API that exits, stops everything.
    """
    settings = read_settings(host=host, port=port)
    try:
        settings.check_exposed()
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if lacking := trackings.lacking_package(settings.tracking_server):
        raise click.ClickException(lacking)
    keep_private(settings)
    with _alone(settings):
        upgrade(settings.database)
        service_file(settings).unlink(missing_ok=True)  # of a service that was killed
        with _signals_raise():
            _run(settings)


def _run(settings: Settings) -> None:
    tdmr = [sys.executable, "-m", "app.cli"]
    commands = {API: [*tdmr, "api", f"--host={settings.host}", f"--port={settings.port}"]}
    commands |= {f"{queue} worker": [*tdmr, "worker", f"--queue={queue}"] for queue in (DATASETS_QUEUE, TRAINING_QUEUE)}
    processes: dict[str, subprocess.Popen[bytes]] = {}
    exits: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=MOST_RESTARTS))
    # a person reads this, and four processes' steps are not for people; who sets the variable gets what it says
    environment = {"TDMR_LOG_LEVEL": "warning"} | os.environ
    news = _news(settings)
    try:
        for name, command in commands.items():
            processes[name] = _start(command, environment)
        while True:
            for name in commands:
                if (status := processes[name].poll()) is not None:
                    _forgive(name, status, exits[name])
                    processes[name] = _start(commands[name], environment)
            if (line := next(news, None)) is not None:
                click.echo(line)
            time.sleep(POLL_SECONDS)
    except _Told:
        click.echo("Stopping …", err=True)
    finally:
        _stop(list(processes.values()), settings.stop_grace_seconds + LEAVE_SECONDS)


def _news(settings: Settings) -> Iterator[str | None]:
    """What to print at each look: nothing mostly, then that the API listens, then that a job can be run."""
    began = time.monotonic()
    while (url := read_url(settings)) is None:
        yield None
    yield (
        f"tdmr listens on {url}. Open it in a browser; the API's reference is {url}/docs.\n"
        f"Data is in {settings.root}. Ctrl-C stops the service."
    )
    store, looked = Store(settings.database), 0.0
    try:
        while True:
            if time.monotonic() - looked >= LOOK_SECONDS:
                looked = time.monotonic()
                if (ready := _ready(store, looked - began)) is not None:
                    yield ready
                    return
            yield None
    finally:
        store.close()


def _ready(store: Store, up_seconds: float) -> str | None:
    """None until the training worker has registered: the rows of one that was killed are older than we are."""
    try:
        with store.read() as session:
            lives = workers.lives(session)
            if not any(life.queue == TRAINING_QUEUE and life.silent_seconds < up_seconds for life in lives):
                return None
            offer = catalog.offer(session)
    except (CatalogEmpty, DBAPIError):  # a database that is away for a moment stops no service
        return None
    return f"Ready: {len(offer.teachers):,} teachers, {len(offer.students):,} students."


def _forgive(name: str, status: int, exits: deque[float]) -> None:
    """Note that a process exited.

    Args:
        exits: when it exited before, the last `MOST_RESTARTS` times.

    Raises:
        click.ClickException: it is the API, or a worker that has exited too often.
    """
    exited, now = f"The {name} exited with status {status}.", time.monotonic()
    if name == API:
        raise click.ClickException(f"{exited} Stopping the rest.")
    if len(exits) == MOST_RESTARTS and now - exits[0] < RESTARTS_SECONDS:
        raise click.ClickException(f"{exited} It was started {MOST_RESTARTS} times in vain. Stopping the rest.")
    exits.append(now)
    click.echo(f"{exited} Starting it again.", err=True)


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # worker.child becomes the command and dies with us; in a session of its own Ctrl-C reaches only this process
    launcher = [sys.executable, "-m", "worker.child", str(os.getpid())]
    return subprocess.Popen([*launcher, *command], env=environment, stdin=subprocess.DEVNULL, start_new_session=True)


def _stop(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Two services in one home would fight over their jobs."""
    settings.root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(settings.root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            url = read_url(settings)
            raise click.ClickException(
                f"A service already runs in {settings.root}{f', on {url}' if url else ''}. "
                "Stop it, or set TDMR_HOME to another folder."
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _signals_raise() -> Iterator[None]:
    """SIGTERM and SIGINT raise once; while we stop they are ignored."""

    def told(*_: int | FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise _Told

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, told) for number in numbers}
    try:
        with contextlib.suppress(_Told):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
