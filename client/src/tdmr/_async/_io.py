"""Waiting and threads, with anyio. Its twin in `_sync` is written by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

import anyio
import anyio.to_thread

Result = TypeVar("Result")


async def sleep(seconds: float) -> None:
    await anyio.sleep(seconds)


async def in_thread(function: Callable[..., Result], *arguments: object) -> Result:
    """Run what reads or writes files."""
    return await anyio.to_thread.run_sync(lambda: function(*arguments))


async def pieces(source: Iterator[bytes]) -> AsyncIterator[bytes]:
    """What an iterator gives that reads files."""
    while (piece := await in_thread(lambda: next(source, None))) is not None:
        yield piece
