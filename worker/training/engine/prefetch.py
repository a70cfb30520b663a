"""The next batches are made ready in a thread while the present one trains."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

DEPTH = 2
"""Batches made ready ahead: one to wait for, and one for a hiccup of the disk."""


def prefetched(batch_at: Callable[[int], Any], steps: Iterable[int], depth: int = DEPTH) -> Generator[Any]:
    """The batches of `steps`, in order, each begun `depth` steps before it is asked for.

    What `batch_at` raises is raised here, at its own step. Closing the iterator waits for the batch in the making and
    drops the others. Where there is but one core the thread costs nothing: cutting and gathering must be done anyway.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    ready: deque[Future[Any]] = deque()
    try:
        for step in steps:
            ready.append(pool.submit(batch_at, step))
            if len(ready) > depth:
                yield ready.popleft().result()
        while ready:
            yield ready.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
