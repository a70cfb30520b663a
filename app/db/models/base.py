"""What all tables share."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ColumnElement, DateTime, MetaData, String, TypeDecorator, cast, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Mapped, mapped_column

DEFAULT_TENANT = "default"

# Named constraints, so that Alembic can drop them on both databases.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Id = String(32)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes on both databases; SQLite forgets the zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def utcnow() -> datetime:
    return datetime.now(UTC)


def whole_sum(column: InstrumentedAttribute[int]) -> ColumnElement[int]:
    """The sum of whole numbers, 0 of none. Postgres makes a `numeric` of it, which would come as a Decimal."""
    return cast(func.coalesce(func.sum(column), 0), BigInteger)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {dict[str, Any]: Json, list[Any]: Json, datetime: UtcDateTime(), int: BigInteger()}


class Leased:
    """What a worker may hold: every claim raises `epoch`, every write of the holder names it (fencing)."""

    epoch: Mapped[int] = mapped_column(default=0)
    """Attempt epoch: how often it was claimed."""
    hb_seq: Mapped[int] = mapped_column(default=0)
    """Heartbeat counter of the present holder; a counter, since clocks jump."""
    worker_id: Mapped[str | None] = mapped_column(Id)


class Keyed:
    """What a client's Idempotency-Key made, and from which request."""

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
