"""A Postgres cluster and a Redis server of the test's own: they can be stopped, frozen and filled, and harm nobody.

Each dies with the process that started it, even if that is killed.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import redis

from tests.lacking import lacking
from worker import child

START_SECONDS = 60.0


def living(processes: Iterable[psutil.Process], act: Callable[[psutil.Process], None]) -> None:
    """Does `act` to each that has not ended by itself since it was listed."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            act(process)


class Server:
    """One process that is started, killed, frozen and started again, and answers at the same address each time."""

    def __init__(self, command: Sequence[str], log: Path, answers: Callable[[], bool]) -> None:
        self._command, self._log, self._answers = command, log, answers
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self.lives() and time.monotonic() < deadline, self._log.read_text()[-3000:]
            time.sleep(0.05)

    def lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> None:
        assert self._process is not None
        self._process.wait(START_SECONDS)

    def freeze(self) -> None:
        """Stop it and all its processes in the middle of whatever they do. Connections stay, nobody answers."""
        living(self._family(), psutil.Process.suspend)

    def thaw(self) -> None:
        living(self._family(), psutil.Process.resume)

    def destroy(self) -> None:
        if self.lives():
            living(self._family(), psutil.Process.kill)
            self.wait()

    def _family(self) -> list[psutil.Process]:
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]


class Postgres(Server):
    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.folder = folder
        self._bin = _postgres_bin()
        initdb = [self._bin / "initdb", "-A", "trust", "-U", "postgres", "--no-sync", "--wal-segsize=1"]
        subprocess.run(
            [*_as_postgres(), *map(str, initdb), "-D", str(folder / "data")], check=True, capture_output=True
        )
        server = [str(self._bin / "postgres"), "-D", str(folder / "data"), "-k", str(folder), "-p", str(self.port)]
        settings = [
            "listen_addresses=127.0.0.1",
            "max_connections=200",
            "max_wal_size=8MB",
            "min_wal_size=2MB",
            *options,
        ]
        command = [*server, *(part for setting in settings for part in ("-c", setting))]
        super().__init__([*_as_postgres(), *command], folder.parent / f"{folder.name}.log", self._answers_now)

    def create_database(self, name: str) -> str:
        """An empty one; gives its URL."""
        with self._connection() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def drop_database(self, name: str) -> None:
        with self._connection() as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def stop_immediately(self) -> None:
        """As `pg_ctl stop -m immediate`: no clean shutdown, the next start recovers."""
        self.signal(signal.SIGQUIT)
        self.wait()

    def _connection(self) -> "psycopg.Connection[tuple[object, ...]]":
        address = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres connect_timeout=5"
        return psycopg.connect(address, autocommit=True)

    def _answers_now(self) -> bool:
        try:
            with self._connection():
                return True
        except psycopg.OperationalError:
            return False


class Redis(Server):
    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis(port=self.port, socket_timeout=5)
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        # the launcher asks the kernel to kill it with us
        launcher = [sys.executable, child.__file__, str(os.getpid())]
        options = ["--appendonly", "no", "--enable-debug-command", "local"]
        super().__init__([*launcher, *command, *options], folder / "redis.log", self._answers_now)

    def _answers_now(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False


@contextmanager
def postgres_folder() -> Iterator[Path]:
    """A folder that the user postgres may use, which pytest's own are not; beside it lies the server's log."""
    parent = Path(tempfile.mkdtemp(prefix="tdmr-faults-"))
    folder = parent / "postgres"
    try:
        folder.mkdir()
        if os.geteuid() == 0:
            shutil.chown(parent, "postgres", "postgres")
            shutil.chown(folder, "postgres", "postgres")
        yield folder
    finally:
        shutil.rmtree(parent, ignore_errors=True)


@contextmanager
def running(server: Server) -> Iterator[None]:
    try:
        server.start()
        yield
    finally:
        server.destroy()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _postgres_bin() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    if not found:
        lacking("no Postgres server is installed in /usr/lib/postgresql")
    return found[-1].parent


def _as_postgres() -> list[str]:
    """It refuses to run as root. Either way the kernel kills it with us."""
    user = ["--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
    return ["setpriv", "--pdeathsig=KILL", *user]
