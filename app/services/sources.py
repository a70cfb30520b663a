"""Data sets whose archive is fetched from an address: what may be asked for, and the row that waits for it."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.ids import new_id
from app.db.models import Dataset
from app.domain.access import Caller, Quotas
from app.domain.addresses import Destinations
from app.domain.dataset import ImportOptions
from app.domain.sources import Buckets, is_s3
from app.domain.states import DatasetState
from app.domain.urls import address_of
from app.services import audit, quotas
from app.services.dataset_keys import RequestKey, add


@dataclass(frozen=True, slots=True)
class Source:
    """An archive that is still elsewhere."""

    url: str
    """As `SourceUrl` has let it pass; it may hold secrets."""
    name: str
    options: ImportOptions = ImportOptions()  # noqa: RUF009 frozen


def require_allowed(destinations: Destinations, buckets: Buckets, url: str) -> None:
    """As far as it can be told without asking anybody; an import worker judges every address that it connects to.

    Raises:
        DestinationRefused: if the address is one that may not be connected to.
        BucketRefused: if the operator has not opened the bucket.
    """
    if is_s3(url):
        buckets.require(url, "source_url")
    else:
        destinations.require_literal(address_of(url).host, "source_url")


def create(
    session: Session, defaults: Quotas, caller: Caller, source: Source, key: RequestKey | None = None
) -> Dataset:
    """Note that an archive waits to be fetched and imported.

    Raises:
        BytesQuotaExceeded: if the tenant's data sets have as many bytes as they may already.
        idempotency.Taken, IdempotencyKeyInFlight: about the key, by which the same request would be known again.
    """
    quotas.require_bytes(session, defaults, caller.tenant, 1)
    dataset = Dataset(
        id=new_id("ds"),
        tenant=caller.tenant,
        name=source.name,
        state=DatasetState.VALIDATING,
        bytes=0,
        sha256="",
        source_url=source.url,
        options=source.options.model_dump(mode="json", exclude_defaults=True) or None,
    )
    add(session, dataset, key)
    audit.record(session, caller, "create_dataset", dataset.id)
    return dataset
