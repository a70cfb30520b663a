"""Waiting for another transaction, but not for long."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

_LOCK_NOT_AVAILABLE = "55P03"


class LockTimeout(Exception):
    """Another transaction holds what this one needs, and has held it for all the time that was given."""


@contextmanager
def lock_timeout(session: Session, seconds: float) -> Iterator[None]:
    """Inside the block no statement waits longer for a lock. On SQLite the whole transaction has waited for its turn
    already, so there is nothing left to wait for.

    Raises:
        LockTimeout: the transaction must then be rolled back, or a savepoint that was set before.
    """
    if session.get_bind().dialect.name != "postgresql":
        yield
        return
    session.execute(text(f"SET LOCAL lock_timeout = '{seconds}s'"))
    try:
        yield
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise LockTimeout from error
    session.execute(text("SET LOCAL lock_timeout = DEFAULT"))
