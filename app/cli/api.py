"""`tdmr api`: the HTTP service alone."""

import os
import signal
import sys

import click
import uvicorn

from app.cli.common import host_option, port_option, read_settings
from app.cli.service_file import announced
from app.logs import configure_logging
from app.main import create_app

STOP_SECONDS = 5
"""Requests under way have this long to end once the service is told to stop."""


@click.command()
@host_option
@port_option
def api(host: str | None, port: int | None) -> None:
    """Serve the HTTP API, without workers.

    It needs a migrated database (`tdmr migrate`). Beyond loopback it refuses to start without TDMR_API_KEY. Behind a
    proxy that ends TLS, list the proxy's address in FORWARDED_ALLOW_IPS.
    """
    settings = read_settings(host=host, port=port)
    try:
        app = create_app(settings)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    configure_logging(settings.log_level)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        server_header=False,
    )
    listener = config.bind_socket()
    listener.listen(config.backlog)  # who reads the address may connect at once and waits for the start
    for number in (signal.SIGTERM, signal.SIGINT):
        # once it has stopped, uvicorn raises the signal again; by default that would end us before we have tidied up
        signal.signal(number, lambda *_: sys.exit(0))
    name = f"[{settings.host}]" if ":" in settings.host else settings.host
    with announced(settings, f"http://{name}:{listener.getsockname()[1]}", os.getpid()):
        uvicorn.Server(config).run(sockets=[listener])
