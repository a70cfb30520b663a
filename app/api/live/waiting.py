"""`GET …?wait=30`: the answer waits until there is something to tell."""

import time
from collections.abc import Callable
from typing import Annotated

from fastapi import Query, Request
from starlette.concurrency import run_in_threadpool

from app.api.deps import resources_of
from app.api.timeout import waiting_as_asked

LONGEST_SECONDS = 60
"""Many proxies give up on an answer after this long."""

Wait = Annotated[
    float | None,
    Query(
        ge=0,
        le=LONGEST_SECONDS,
        description="Answer once the job has changed, or after this many seconds: changed since the ETag in "
        "If-None-Match, or without one since this request. A job that has ended is answered at once.",
    ),
]
WaitForImport = Annotated[
    float | None,
    Query(
        ge=0,
        le=LONGEST_SECONDS,
        description="Answer once something of the import has changed since this request, or after this many seconds. A "
        "data set that is `ready`, `rejected` or in `needs_answer` is answered at once.",
    ),
]


async def wait_until(is_news: Callable[[], bool], request: Request, object_id: str, seconds: float) -> None:
    """Until `is_news`, which is asked in a thread after each change of the object; for so long at most."""
    held, give_up = resources_of(request), time.monotonic() + seconds
    with held.changes.watch(object_id) as watched, waiting_as_asked(request.scope):
        while True:
            version = watched.version
            async with held.turns:
                if await run_in_threadpool(is_news):
                    return
            left = give_up - time.monotonic()
            if left <= 0 or held.changes.closing:
                return
            await watched.beyond(version, left)
