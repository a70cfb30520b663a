"""What nobody waits for ends."""

import asyncio
import time
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

LOOK_SECONDS = 0.5
"""How often a client that waits is looked for."""

Answer = TypeVar("Answer")


async def require_client(request: Request) -> None:
    """The request must have no body, or it must have been read.

    Raises:
        ClientDisconnect: if it has left, or was told before that it would get no answer in time.
    """
    if await request.is_disconnected():
        raise ClientDisconnect


async def while_present(request: Request, work: "asyncio.Future[Answer]", within_seconds: float) -> Answer:
    """The outcome of `work`, which goes on whatever happens here: whoever started it cancels it.

    The request must have no body, or it must have been read.

    Raises:
        TimeoutError: if it takes longer.
        ClientDisconnect: if the client leaves.
    """
    until = time.monotonic() + within_seconds
    while not work.done():
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        await asyncio.wait([work], timeout=min(left, LOOK_SECONDS))
        if not work.done():
            await require_client(request)
    return work.result()
