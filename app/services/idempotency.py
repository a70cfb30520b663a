"""Idempotency-Key: a repeated request gives what the first one made, and never a second one."""

from typing import TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.engine import LockTimeout, lock_timeout
from app.db.models import DatasetIdempotencyKey, IdempotencyKey
from app.domain.errors import IdempotencyKeyInFlight, IdempotencyKeyReused

IN_FLIGHT_SECONDS = 3
"""How long a duplicate waits for the request under way, to answer with the same object; usually milliseconds."""


Key = TypeVar("Key", IdempotencyKey, DatasetIdempotencyKey)


class Taken(Exception):
    """A duplicate of this request was faster. It has committed, or its key would have let this one wait."""


def made_before(
    session: Session,
    table: type[Key],
    tenant: str,
    key: str,
    request_sha256: str,
) -> str | None:
    """The id of what an earlier request with this key has made; None if there was none.

    Raises:
        IdempotencyKeyReused: if that request was another one.
    """
    earlier = session.get(table, (tenant, key), populate_existing=True)
    if earlier is None:
        return None
    if earlier.request_sha256 != request_sha256:
        raise IdempotencyKeyReused(
            "This Idempotency-Key was used before with another body.",
            hint="Use a fresh key for each new object.",
            param="Idempotency-Key",
        )
    return earlier.made


def note(session: Session, row: IdempotencyKey | DatasetIdempotencyKey) -> None:
    """Write down what the key has made, in a savepoint with what was made.

    Raises:
        Taken: the savepoint must be rolled back; `made_before` then knows what the other request has made.
        IdempotencyKeyInFlight: if that request still has no answer, for longer than a moment.
    """
    try:
        with lock_timeout(session, IN_FLIGHT_SECONDS):
            session.add(row)
            session.flush()
    except IntegrityError as error:
        raise Taken from error
    except LockTimeout as error:
        raise IdempotencyKeyInFlight(
            "An earlier request with this Idempotency-Key is still being processed.",
            hint="Send the same request again in a few seconds.",
            param="Idempotency-Key",
        ) from error
