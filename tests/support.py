"""What several kinds of tests use: services that must be there, files in use, the service behind a real socket."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import uvicorn
from fastapi.testclient import TestClient

from app.main import create_app
from app.server.config import configure
from app.server.protocol import Bounds
from app.settings import Settings
from tests.databases import migrate

WAIT_SECONDS = 60.0


def files_below(folder: Path) -> Iterator[Path]:
    """All files. A folder that goes away meanwhile is not an error, as it is with Path.rglob."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def client_of(settings: Settings) -> TestClient:
    """A client of the service in this process, under a name that it answers to."""
    return TestClient(create_app(settings), base_url="http://127.0.0.1:8000")


def children(argument: str) -> list[psutil.Process]:
    """Processes that this one has started with this argument, and that run; some end while we look."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE and argument in child.cmdline():
                found.append(child)
    return found


@contextmanager
def served(settings: Settings, bounds: Bounds | None = None) -> Iterator[tuple[str, int]]:
    """The address of a running service with an empty store."""
    migrate(settings.database)
    config = configure(create_app(settings), settings.model_copy(update={"port": 0}), bounds)
    config.timeout_graceful_shutdown = 1
    listener = config.bind_socket()
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def exchange(address: tuple[str, int], *pieces: bytes) -> bytes:
    """Send `pieces` and nothing more; gives all that is answered until the server closes the connection."""
    with socket.create_connection(address, timeout=WAIT_SECONDS) as connection:
        # the server need not read what it has refused
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while received := connection.recv(65536):
                answer += received
        return answer
