"""What a request that creates a data set is known by, so that it does so once."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.models import Dataset, DatasetIdempotencyKey
from app.services import idempotency


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The Idempotency-Key of a request."""

    value: str
    sha256: str
    """Of what the request asks for: equal for equal ones."""


def add(session: Session, dataset: Dataset, key: RequestKey | None) -> None:
    """A new row, and what its request is known by.

    Raises:
        idempotency.Taken: if the same request was faster; nothing is added, and `find_earlier` knows its data set.
        IdempotencyKeyInFlight: if that one has no answer yet.
    """
    with session.begin_nested():
        session.add(dataset)
        session.flush()
        if key is not None:
            idempotency.note(
                session,
                DatasetIdempotencyKey(
                    tenant=dataset.tenant, key=key.value, request_sha256=key.sha256, dataset_id=dataset.id
                ),
            )


def find_earlier(session: Session, tenant: str, key: RequestKey) -> str | None:
    """The id of the data set that the same request has made before.

    Raises:
        IdempotencyKeyReused: if another one had this key.
    """
    return idempotency.made_before(session, DatasetIdempotencyKey, tenant, key.value, key.sha256)
