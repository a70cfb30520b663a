"""Serving HTTP until the process is told to stop."""

import os
import signal
import socket
import sys

import uvicorn
from fastapi import FastAPI

from app import isolation
from app.cli.common import announced
from app.logs import configure_logging
from app.main import create_app, end_streams
from app.server.config import configure, raise_descriptor_limit
from app.settings import Settings


def serve(settings: Settings) -> None:
    """Listen where the settings say, and tell clients on this machine where that is."""
    app = create_app(settings)
    configure_logging(settings.log_level)
    isolation.tell(confine=settings.confine)
    raise_descriptor_limit()
    config = configure(app, settings)
    listener = config.bind_socket()
    listener.listen(config.backlog)  # who reads the address may connect at once and waits for the start
    for number in (signal.SIGTERM, signal.SIGINT):
        # once it has stopped, uvicorn raises the signal again; by default that would end us before we have tidied up
        signal.signal(number, lambda *_: sys.exit(0))
    name = f"[{settings.host}]" if ":" in settings.host else settings.host
    with announced(settings, f"http://{name}:{listener.getsockname()[1]}", os.getpid()):
        _Server(config, app).run(sockets=[listener])


class _Server(uvicorn.Server):
    """One that ends its streams first: uvicorn would wait for them until its grace is over."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        end_streams(self._app)
        await super().shutdown(sockets)
