"""uvicorn, set up for this service. It is started by `app.cli`, and by tests."""

import logging
import os
import resource
from contextlib import suppress
from functools import partial
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.server.door import Door
from app.server.protocol import Bounds, GuardedProtocol
from app.settings import Settings

STOP_SECONDS = 5
"""Requests under way have this long to end once the service is told to stop."""
KEPT_DESCRIPTORS = 256
"""Of all, for what is no connection: the database, the broker, the storage, libraries."""
DESCRIPTORS_PER_CONNECTION = 2
"""Its own, and that of the file which it sends or receives."""

logger = logging.getLogger(__name__)


def configure(app: FastAPI, settings: Settings, bounds: Bounds | None = None) -> uvicorn.Config:
    """For one process that serves `app`.

    Args:
        bounds: of each request, by default those of the settings.
    """
    bounds = bounds or Bounds(request_seconds=settings.request_hours * 3600)
    proxies = os.environ.get("FORWARDED_ALLOW_IPS", "")
    """Without it uvicorn would believe what anyone on this machine says of where a request comes from."""
    trusted = ProxyHeadersMiddleware(cast("Any", app), proxies).trusted_hosts
    door = Door(_connections(settings.max_connections), settings.max_connections_per_address, trusted.__contains__)
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=cast("Any", partial(GuardedProtocol, door, bounds)),
        ws="none",  # a socket that became one would leave the protocol, and its bounds, behind
        log_config=None,
        access_log=False,
        forwarded_allow_ips=proxies,
        timeout_graceful_shutdown=STOP_SECONDS,
        server_header=False,
    )


def raise_descriptor_limit() -> None:
    """Let this process open as many files as it may: the soft limit, often 1,024, becomes the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS names no limit and has one
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _connections(wanted: int) -> int:
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return wanted
    room = max(10, (descriptors - KEPT_DESCRIPTORS) // DESCRIPTORS_PER_CONNECTION)
    if room < wanted:
        logger.warning(
            "%d open files leave room for %d connections, not %d; raise ulimit -n", descriptors, room, wanted
        )
    return min(wanted, room)
