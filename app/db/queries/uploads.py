"""Queries about resumable uploads."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.db.ids import is_id
from app.db.models import PartialRow, utcnow, whole_sum


def get_upload(session: Session, tenant: str, upload_id: str) -> PartialRow | None:
    """Unless it has expired."""
    if not is_id(upload_id, "upl"):
        return None
    is_live = (PartialRow.tenant == tenant, PartialRow.expires_at > utcnow())
    return session.scalar(select(PartialRow).where(PartialRow.id == upload_id, *is_live))


def needed_upload_files(session: Session) -> set[str]:
    """Ids of the uploads whose bytes are nowhere else."""
    waits = (PartialRow.dataset_id.is_(None), PartialRow.expires_at > utcnow())
    return set(session.scalars(select(PartialRow.id).where(*waits)))


def expired_uploads(session: Session) -> set[str]:
    """Their ids."""
    return set(session.scalars(select(PartialRow.id).where(PartialRow.expires_at <= utcnow())))


def delete_expired_uploads(session: Session, upload_ids: Collection[str]) -> None:
    """Unless they have been put off meanwhile."""
    session.execute(delete(PartialRow).where(PartialRow.id.in_(upload_ids), PartialRow.expires_at <= utcnow()))


def delete_upload(session: Session, upload_id: str) -> None:
    session.execute(delete(PartialRow).where(PartialRow.id == upload_id))


def extend_expiry(session: Session, upload_id: str, expires_at: datetime) -> bool:
    """False if the upload is gone."""
    row = update(PartialRow).where(PartialRow.id == upload_id).values(expires_at=expires_at)
    return session.execute(row.returning(PartialRow.id)).first() is not None


def take(session: Session, upload_id: str, dataset_id: str) -> bool:
    """Note what was made of an upload. False if it is gone, or something was made of it before."""
    is_free = (PartialRow.id == upload_id, PartialRow.dataset_id.is_(None))
    row = update(PartialRow).where(*is_free).values(dataset_id=dataset_id)
    return session.execute(row.returning(PartialRow.id)).first() is not None


def pending_bytes(session: Session, tenant: str) -> int:
    """What a tenant's uploads that are no data sets yet will have when they are complete."""
    pending = (PartialRow.tenant == tenant, PartialRow.dataset_id.is_(None), PartialRow.expires_at > utcnow())
    return session.scalar(select(whole_sum(PartialRow.length)).where(*pending)) or 0
