"""The service behind a real socket, for what a client does below the level of requests."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from app.db.migrate import upgrade
from app.main import create_app
from app.settings import Settings

WAIT_SECONDS = 60.0


@contextmanager
def served(settings: Settings) -> Iterator[tuple[str, int]]:
    """The address of a running service with an empty store."""
    upgrade(settings.database)
    config = uvicorn.Config(create_app(settings), port=0, log_config=None, timeout_graceful_shutdown=1)
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
