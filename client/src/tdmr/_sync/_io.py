"""Waiting, and files read where the caller stands. Its twin in `_async` is written by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

Result = TypeVar("Result")


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def in_thread(function: Callable[..., Result], *arguments: object) -> Result:
    """Run what reads or writes files."""
    return function(*arguments)


def pieces(source: Iterator[bytes]) -> Iterator[bytes]:
    """What an iterator gives that reads files."""
    return source
