"""Data sets: an upload becomes a row and a blob; an import worker does the rest."""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from app.db.ids import new_id
from app.db.models import Dataset, DatasetClass
from app.db.queries import datasets as queries
from app.db.queries.jobs import Stamp
from app.db.queries.page import Page
from app.domain.access import Caller, Quotas
from app.domain.address_tables import HEAD_BYTES, may_hold_addresses
from app.domain.dataset import LISTED_CLASSES, ImportOptions, Understanding
from app.domain.errors import (
    DatasetInUse,
    DatasetNotReady,
    DatasetRejected,
    DiskFull,
    NotFound,
    StateConflict,
    StoreUnavailable,
    UnknownLayout,
)
from app.domain.states import DatasetState
from app.services import audit, quotas, uploads
from app.services.dataset_keys import RequestKey, add
from app.services.states import move_dataset
from app.storage.blobs import Blobs
from app.storage.keys import dataset_prefix, import_keys, preview_key, upload_key

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
    options: ImportOptions = ImportOptions()  # noqa: RUF009 frozen
    """What its owner says about it."""


def create(
    session: Session,
    blobs: Blobs,
    defaults: Quotas,
    caller: Caller,
    upload: Upload,
    revalidate: Callable[[], None],
    key: RequestKey | None = None,
) -> Dataset:
    """Keep the archive and note that it waits for its import. Nobody has looked into it yet. If the same archive of
    this tenant waits already, the two share one blob.

    Args:
        revalidate: raises Unauthorized if the caller may no longer do this; upload and storing may have taken hours.
        key: by which the same request would be known again.

    Raises:
        BytesQuotaExceeded: if the tenant's data sets would have more bytes than they may.
        DiskFull, StoreUnavailable: if the storage does not take it.
        NotFound: if the resumable upload is gone.
        idempotency.Taken, IdempotencyKeyInFlight: about the key.
    """
    dataset_id = new_id("ds")
    with upload.path.open("rb") as file:
        stored = upload_key(dataset_id, is_table=may_hold_addresses(file.read(HEAD_BYTES)))
    try:
        blobs.put_file(stored, upload.path)  # before the first statement: no transaction is open while bytes move
    except OSError as error:
        raise storage_error(error) from error
    try:
        revalidate()  # likewise before the first statement: it may write down that the key was used
        quotas.require_bytes(session, defaults, caller.tenant, upload.bytes)
        shared = queries.same_archive(session, caller.tenant, upload.sha256)
        dataset = Dataset(
            id=dataset_id,
            tenant=caller.tenant,
            name=upload.name,
            state=DatasetState.VALIDATING,
            bytes=upload.bytes,
            sha256=upload.sha256,
            upload_key=shared or stored,
            options=upload.options.model_dump(mode="json", exclude_defaults=True) or None,
        )
        add(session, dataset, key)
        if upload.upload_id is not None:
            uploads.take(session, upload.upload_id, dataset_id)
        audit.record(session, caller, "create_dataset", dataset_id)
    except Exception:
        blobs.delete(stored)
        raise
    if shared is not None:
        blobs.delete(stored)
    return dataset


def create_again(session: Session, caller: Caller, dataset_id: str) -> Dataset:
    """The data set that was made of the same upload before: creating it twice is creating it once.

    Raises:
        NotFound: if it has been deleted.
    """
    dataset = find(session, caller.tenant, dataset_id)
    audit.record(session, caller, "create_dataset", dataset_id)
    return dataset


def answer(session: Session, caller: Caller, dataset_id: str, layout: str) -> Dataset:
    """Choose one of the readings that the import offers. The archive, which was kept, waits for an import again.

    Raises:
        NotFound: as `find`.
        StateConflict: if it does not need an answer.
        UnknownLayout: if the import has not offered this reading.
    """
    dataset = queries.lock_dataset(session, caller.tenant, dataset_id, exclusive=True)
    if dataset is None:
        raise _not_found()
    if dataset.state != DatasetState.NEEDS_ANSWER:
        raise StateConflict(
            f"The data set is {dataset.state}: there is no question to answer.",
            hint="To have an archive read otherwise, upload it again with `layout`.",
        )
    question = Understanding.model_validate(dataset.layout or {"sentence": "", "reading": ""})
    offered = [reading.id for reading in question.readings]
    if layout not in offered:
        raise UnknownLayout(
            f"The import does not offer {layout[:100]!r}.", hint=f"Choose one of: {', '.join(offered)}.", param="layout"
        )
    dataset.options = {**(dataset.options or {}), "layout": layout}
    dataset.answered_epoch, dataset.progress = dataset.epoch, 0.0
    move_dataset(session, dataset, DatasetState.VALIDATING)
    audit.record(session, caller, "choose_dataset_layout", dataset_id)
    return dataset


def expire_unanswered(session: Session, dataset_id: str, asked_before: datetime) -> str | None:
    """Reject a data set whose owner was asked before that time and has not answered. Gives the key of its archive,
    whose bytes the caller deletes after the commit; None if it was answered meanwhile."""
    dataset = queries.lock_unanswered(session, dataset_id, asked_before)
    if dataset is None:
        return None
    key = dataset.upload_key
    dataset.error = DatasetRejected(
        "The import asked which reading of the archive is meant, and nobody has answered in time.",
        hint="Upload it again with one of the readings as `layout`.",
    ).as_problem()
    dataset.upload_key = None
    move_dataset(session, dataset, DatasetState.REJECTED)
    return key


def find(session: Session, tenant: str, dataset_id: str) -> Dataset:
    """
    Raises:
        NotFound: if there is none, or it belongs to someone else.
    """
    dataset = queries.get_dataset(session, tenant, dataset_id)
    if dataset is None:
        raise _not_found()
    return dataset


def stamp(session: Session, tenant: str, dataset_id: str) -> Stamp:
    """What tells whether anything has changed.

    Raises:
        NotFound: as `find`.
    """
    dataset = find(session, tenant, dataset_id)
    return Stamp(dataset.id, dataset.state, dataset.epoch, dataset.updated_at)


def page(session: Session, tenant: str, *, after: str | None, limit: int) -> Page[Dataset]:
    """Newest first."""
    return queries.list_datasets(session, tenant, after=after, limit=limit)


def class_names(session: Session, dataset: Dataset) -> list[str] | None:
    """The first of its classes; None until it is ready."""
    return queries.class_names(session, dataset.id, LISTED_CLASSES) if dataset.state == DatasetState.READY else None


def classes(session: Session, tenant: str, dataset_id: str, *, after: int | None, limit: int) -> Page[DatasetClass]:
    """In the order of the student's outputs: the classes after number `after`.

    Raises:
        DatasetNotReady: while the import runs, or if it rejected the data set.
    """
    dataset = find(session, tenant, dataset_id)
    require_ready(dataset)
    return queries.list_classes(session, dataset.id, after=after, limit=limit)


def report(session: Session, tenant: str, dataset_id: str) -> dict[str, Any]:
    """What the import found.

    Raises:
        DatasetNotReady: while it runs, or if it rejected the data set.
    """
    dataset = find(session, tenant, dataset_id)
    require_ready(dataset)
    assert dataset.report is not None, "a data set becomes ready together with its report"
    return dataset.report


def delete(session: Session, blobs: Blobs, caller: Caller, dataset_id: str) -> None:
    """Remove a data set with all its bytes. Bytes go first: a failure in between can be repaired by deleting again,
    while forgotten bytes of a forgotten row could not.

    Raises:
        DatasetInUse: while a job that has not ended needs it.
    """
    dataset = queries.lock_dataset(session, caller.tenant, dataset_id, exclusive=True)
    if dataset is None:
        raise _not_found()
    if queries.dataset_in_use(session, dataset.id):
        raise DatasetInUse(
            "A job that has not ended uses this data set.", hint="Cancel the job or wait until it ends, then try again."
        )
    written = import_keys(dataset.id, dataset.epoch)
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
    audit.record(session, caller, "delete_dataset", dataset_id)


def drop_blobs(session: Session, blobs: Blobs, keys: set[str]) -> set[str]:
    """Delete those of the blobs that no data set names; gives their keys.

    The caller's row has ceased to name them: in this transaction, or in one that is committed. From then on no other
    row can begin to, since that takes a lock on a row that does.
    """
    unnamed = keys - queries.named_keys(session, keys)
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
    if dataset.state == DatasetState.NEEDS_ANSWER:
        raise DatasetNotReady(
            "It is not clear which classes the archive has.",
            hint="GET /v1/datasets/{id} lists them in `layout.readings`; POST /v1/datasets/{id}/layout chooses one.",
            param=param,
        )
    if dataset.state == DatasetState.REJECTED:
        reason = (dataset.error or {}).get("detail") or "it cannot be used."
        raise DatasetNotReady(
            f"The data set was rejected: {reason}", hint="Upload a corrected archive as a new data set.", param=param
        )


def storage_error(error: OSError) -> DiskFull | StoreUnavailable:
    """What a failed read or write of a blob means to the user."""
    if error.errno in NO_SPACE:
        return DiskFull("The storage has no space left.", hint="Delete data sets that you no longer need.")
    return StoreUnavailable("The storage does not answer.", hint="Try again in a few seconds.")


def _not_found() -> NotFound:
    return NotFound("There is no such data set.", hint="GET /v1/datasets lists your data sets.")
