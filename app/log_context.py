"""What log lines tell beside their message: the request, job, data set and attempt that they are about.

It holds for a block, in the thread or task that entered it. A thread started inside begins with nothing, unless it is
run in a copy of the context (`contextvars.copy_context().run`); a child process begins with what `environment()` hands
on.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

VARIABLE = "TDMR_LOG_CONTEXT"
"""A JSON object, from the process that started this one."""

_INHERITED: dict[str, str | int] = json.loads(os.environ.get(VARIABLE, "{}"))
_BOUND: ContextVar[dict[str, str | int] | None] = ContextVar("log_context", default=None)


@contextmanager
def bound(**fields: str | int | None) -> Iterator[None]:
    """Let all log lines of a block carry these fields; those that are None are left out."""
    token = _BOUND.set((_BOUND.get() or {}) | {name: value for name, value in fields.items() if value is not None})
    try:
        yield
    finally:
        _BOUND.reset(token)


def add(**fields: str | int) -> None:
    """What was found out inside the innermost block, for the rest of it: for those who entered it and for those who
    run in a copy of it, as a route does in its thread. Outside of all blocks it does nothing."""
    if (innermost := _BOUND.get()) is not None:
        innermost.update(fields)


def current() -> dict[str, str | int]:
    return _INHERITED | (_BOUND.get() or {})


def current_request_id() -> str | None:
    """None outside a request."""
    request_id = current().get("request_id")
    return None if request_id is None else str(request_id)


def environment() -> dict[str, str]:
    """For a child process, whose log lines then carry the same."""
    return {VARIABLE: json.dumps(current())}
