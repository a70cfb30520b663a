"""Tell the workers, once the row is there."""

import logging

from celery import Celery
from kombu.exceptions import OperationalError

from app import queue

logger = logging.getLogger(__name__)


def nudge(celery: Celery, task: str, object_id: str) -> None:
    """Send an id after the commit. Where the broker is away the row is safe, so this is no error of the caller's."""
    try:
        queue.send(celery, task, object_id)
    except (OperationalError, OSError):
        logger.warning("the broker is away; not sent", extra={"task": task, "object_id": object_id}, exc_info=True)
