"""The id of the request under way, for answers and log lines alike."""

from contextvars import ContextVar

_REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)

set_request_id = _REQUEST_ID.set
reset_request_id = _REQUEST_ID.reset


def current_request_id() -> str | None:
    """None outside a request."""
    return _REQUEST_ID.get()
