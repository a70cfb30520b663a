"""The id of the request under way, which answers and log lines carry."""

from app import log_context


def current_request_id() -> str | None:
    """None outside a request."""
    request_id = log_context.current().get("request_id")
    return None if request_id is None else str(request_id)
