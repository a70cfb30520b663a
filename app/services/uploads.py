"""Resumable uploads: limits and quotas when one is created, expiry, and removal."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath

from sqlalchemy.orm import Session

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import PartialRow, utcnow
from app.db.queries import uploads as queries
from app.domain.access import Caller
from app.domain.errors import NotFound, TooLarge, UploadComplete, UploadLocked
from app.services import audit, quotas
from app.settings import Settings
from app.storage.partial import PartialUploads

MAX_NAME_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class NewUpload:
    """What a client declares when it creates an upload."""

    length: int
    """In bytes."""
    name: str
    metadata: str
    """The header Upload-Metadata as it was sent."""


def create(session: Session, settings: Settings, caller: Caller, new: NewUpload) -> PartialRow:
    """
    Raises:
        TooLarge: if it would be over the limit.
        BytesQuotaExceeded: if the tenant's data sets and uploads would then be over theirs.
    """
    if new.length > settings.max_upload_bytes:
        raise TooLarge(f"The archive may have at most {settings.max_upload_bytes:,} bytes.")
    quotas.require_bytes(
        session, settings.quotas, caller.tenant, new.length + queries.pending_bytes(session, caller.tenant)
    )
    row = PartialRow(
        id=new_id("upl"),
        tenant=caller.tenant,
        length=new.length,
        name=new.name,
        upload_metadata=new.metadata,
        expires_at=utcnow() + _kept(settings),
    )
    session.add(row)
    session.flush()
    audit.record(session, caller, "create_upload", row.id)
    return row


def find(session: Session, tenant: str, upload_id: str) -> PartialRow:
    """
    Raises:
        NotFound: if there is none, it has expired, or it belongs to someone else.
    """
    row = queries.get_upload(session, tenant, upload_id)
    if row is None:
        raise _not_found()
    return row


def offset(partials: PartialUploads, upload: PartialRow) -> int:
    """How many bytes have arrived."""
    return partials.offset(upload.id) if upload.dataset_id is None else upload.length


def extend_expiry(session: Session, settings: Settings, upload: PartialRow) -> None:
    """Keep it for the whole time again, from now on.

    Raises:
        NotFound: if it is gone meanwhile.
    """
    upload.expires_at = utcnow() + _kept(settings)
    if not queries.extend_expiry(session, upload.id, upload.expires_at):
        raise _not_found()


def take(session: Session, upload_id: str, dataset_id: str) -> None:
    """Note which data set was made of it.

    Raises:
        NotFound: if it is gone meanwhile.
    """
    if not queries.take(session, upload_id, dataset_id):
        raise _not_found()


def delete(session: Session, partials: PartialUploads, caller: Caller, upload_id: str) -> None:
    """End it, whatever has arrived.

    Raises:
        NotFound: if there is none.
        UploadLocked: while a request writes to it.
    """
    discard(session, partials, find(session, caller.tenant, upload_id))
    audit.record(session, caller, "delete_upload", upload_id)


def discard(session: Session, partials: PartialUploads, upload: PartialRow) -> None:
    """Remove an upload with its bytes.

    Raises:
        UploadLocked: while a request writes to it.
    """
    with partials.hold(upload.id) as partial:
        queries.delete_upload(session, upload.id)
        partial.remove()


def sweep(store: Store, partials: PartialUploads) -> None:
    """Remove the uploads that have expired, and on this host the files of those that are over: completed, deleted,
    expired, or sent in a single request that was broken off by our death."""
    here = partials.ids()  # before the rows: a file that is not listed may belong to a row that is not either
    with store.read() as session:
        needed, expired = queries.needed_upload_files(session), queries.expired_uploads(session)
    busy = set()
    for upload_id in here:
        if upload_id in needed:
            continue
        try:
            with partials.hold(upload_id) as partial:
                partial.remove()
        except UploadLocked:
            busy.add(upload_id)
    if expired - busy:
        with store.write() as session:
            queries.delete_expired_uploads(session, expired - busy)


def require_open(upload: PartialRow) -> None:
    """
    Raises:
        UploadComplete: if a data set was made of it.
    """
    if upload.dataset_id is not None:
        raise UploadComplete(f"The upload has become the data set {upload.dataset_id}.")


def file_name(sent: str) -> str:
    """A name that a client sent, fit to be stored: browsers and curl may send a path; its last part is the name."""
    last = PurePosixPath(sent.replace("\\", "/").replace("\x00", "")).name
    return last[:MAX_NAME_CHARACTERS] or "unnamed"


def _kept(settings: Settings) -> timedelta:
    return timedelta(hours=settings.keep_upload_hours)


def _not_found() -> NotFound:
    return NotFound("There is no such upload.", hint="It may have expired; POST /v1/uploads creates a new one.")
