"""Data sets: an upload becomes a row and a blob; an import worker does the rest."""

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from app.db import queries, upload_queries
from app.db.ids import new_id
from app.db.models import Dataset
from app.db.queries import Page
from app.domain.access import Quotas
from app.domain.errors import DatasetInUse, DatasetNotReady, DiskFull, NotFound, StoreUnavailable
from app.domain.states import DatasetState
from app.services import quotas, uploads
from app.storage.blobs import Blobs
from app.storage.keys import dataset_prefix, prepared_key, preview_key, upload_key

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Upload:
    """An archive that has arrived completely in a local file."""

    path: Path
    name: str
    bytes: int
    sha256: str
    upload_id: str | None = None
    """Where it came as a resumable upload."""


def create(session: Session, blobs: Blobs, defaults: Quotas, tenant: str, upload: Upload) -> Dataset:
    """Keep the archive and note that it waits for its import. Nobody has looked into it yet. If the same archive of
    this tenant waits already, the two share one blob.

    Raises:
        BytesQuotaExceeded: if the tenant's data sets would have more bytes than they may.
        DiskFull, StoreUnavailable: if the storage does not take it.
        NotFound: if the resumable upload is gone.
    """
    dataset_id = new_id("ds")
    key = upload_key(dataset_id)
    try:
        blobs.put_file(key, upload.path)  # before the first statement: no transaction is open while bytes move
    except OSError as error:
        raise storage_error(error) from error
    try:
        quotas.require_bytes(session, defaults, tenant, upload.bytes)
        shared = upload_queries.same_archive(session, tenant, upload.sha256)
        dataset = Dataset(
            id=dataset_id,
            tenant=tenant,
            name=upload.name,
            state=DatasetState.VALIDATING,
            bytes=upload.bytes,
            sha256=upload.sha256,
            upload_key=shared or key,
        )
        session.add(dataset)
        session.flush()
        if upload.upload_id is not None:
            uploads.take(session, upload.upload_id, dataset_id)
    except Exception:
        blobs.delete(key)
        raise
    if shared is not None:
        blobs.delete(key)
    return dataset


def find(session: Session, tenant: str, dataset_id: str) -> Dataset:
    """
    Raises:
        NotFound: if there is none, or it belongs to someone else.
    """
    dataset = queries.get_dataset(session, tenant, dataset_id)
    if dataset is None:
        raise _not_found()
    return dataset


def page(session: Session, tenant: str, *, after: str | None, limit: int) -> Page[Dataset]:
    """Newest first."""
    return queries.list_datasets(session, tenant, after=after, limit=limit)


def report(session: Session, tenant: str, dataset_id: str) -> dict[str, Any]:
    """What the import found.

    Raises:
        DatasetNotReady: while it runs, or if it rejected the data set.
    """
    dataset = find(session, tenant, dataset_id)
    require_ready(dataset)
    assert dataset.report is not None, "a data set becomes ready together with its report"
    return dataset.report


def delete(session: Session, blobs: Blobs, tenant: str, dataset_id: str) -> None:
    """Remove a data set with all its bytes. Bytes go first: a failure in between can be repaired by deleting again,
    while forgotten bytes of a forgotten row could not.

    Raises:
        DatasetInUse: while a job that has not ended needs it.
    """
    dataset = queries.lock_dataset(session, tenant, dataset_id, exclusive=True)
    if dataset is None:
        raise _not_found()
    if queries.dataset_in_use(session, dataset.id):
        raise DatasetInUse(
            "A job that has not ended needs this data set.", hint="Cancel the job or wait for its end, then try again."
        )
    written = {prepared_key(dataset.id, epoch) for epoch in range(1, dataset.epoch + 1)}
    keys = written | {key for key in (dataset.upload_key, dataset.prepared_key) if key is not None}
    dataset.upload_key, dataset.prepared_key = None, None
    session.flush()
    try:
        if drop_blobs(session, blobs, keys) == keys:
            blobs.delete_prefix(dataset_prefix(dataset.id))
    except OSError as error:
        raise storage_error(error) from error
    session.delete(dataset)
    session.flush()


def drop_blobs(session: Session, blobs: Blobs, keys: set[str]) -> set[str]:
    """Delete those of the blobs that no data set names; gives their keys.

    The caller's row has ceased to name them: in this transaction, or in one that is committed. From then on no other
    row can begin to, since that takes a lock on a row that does.
    """
    unnamed = keys - upload_queries.named_keys(session, keys)
    for key in unnamed:
        blobs.delete(key)
        if key.endswith("/prepared.zip"):
            blobs.delete(preview_key(key))
    return unnamed


def require_ready(dataset: Dataset, param: str | None = None) -> None:
    """
    Raises:
        DatasetNotReady: saying whether to wait or to upload again.
    """
    if dataset.state == DatasetState.VALIDATING:
        raise DatasetNotReady(
            "The data set is still being validated.",
            hint="Poll GET /v1/datasets/{id} until its state is `ready`.",
            param=param,
        )
    if dataset.state == DatasetState.REJECTED:
        reason = (dataset.error or {}).get("detail") or "It cannot be used."
        raise DatasetNotReady(
            f"The data set was rejected: {reason}", hint="Upload a corrected archive as a new data set.", param=param
        )


def storage_error(error: OSError) -> DiskFull | StoreUnavailable:
    """What a failed read or write of a blob means to the user."""
    if error.errno in NO_SPACE:
        return DiskFull("There is no space left in the storage.", hint="Delete data sets that are not needed any more.")
    return StoreUnavailable("The storage does not answer.", hint="Try again in a few seconds.")


def _not_found() -> NotFound:
    return NotFound("There is no such data set.", hint="GET /v1/datasets lists yours.")
