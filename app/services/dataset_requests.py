"""`POST /v1/datasets`, whichever way the archive comes."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.models import Dataset
from app.domain.access import Caller
from app.domain.errors import IdempotencyKeyInFlight
from app.services import datasets, sources
from app.services.dataset_keys import RequestKey, find_earlier
from app.services.datasets import Upload
from app.services.idempotency import Taken
from app.services.sources import Source
from app.settings import Settings
from app.storage.blobs import Blobs


@dataclass(frozen=True, slots=True)
class Earlier:
    """A request whose data set is there already."""

    dataset_id: str
    replayed: bool = False
    """Known by its Idempotency-Key."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request wants a data set to be made of."""

    what: Upload | Source | Earlier
    key: RequestKey | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """The data set that a request stands for; `replayed` when an earlier one with the same Idempotency-Key made it."""

    dataset: Dataset
    replayed: bool = False


def make(
    session: Session,
    blobs: Blobs,
    settings: Settings,
    caller: Caller,
    asked: Asked,
    revalidate: Callable[[], None],
) -> Made:
    """
    Raises:
        NotFound, BytesQuotaExceeded, DiskFull, StoreUnavailable: as `datasets.create`.
        IdempotencyKeyInFlight: if the same request was sent before and still has no answer.
    """
    what = asked.what
    try:
        if isinstance(what, Upload):
            return Made(datasets.create(session, blobs, settings.quotas, caller, what, revalidate, asked.key))
        if isinstance(what, Source):
            return Made(sources.create(session, settings.quotas, caller, what, asked.key))
    except Taken:
        assert asked.key is not None, "what has no key takes none"
        earlier = find_earlier(session, caller.tenant, asked.key)
        if earlier is None:  # it was deleted in between
            raise IdempotencyKeyInFlight(IdempotencyKeyInFlight.example, param="Idempotency-Key") from None
        what = Earlier(earlier, replayed=True)
    return Made(datasets.create_again(session, caller, what.dataset_id), what.replayed)
