"""The tables. The row is the truth: whatever a message, a worker or a file says, these rows decide."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column

from app.domain.states import DatasetState, JobState, Stage, StopRequest

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


class Dataset(Leased, Base):
    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), default=DEFAULT_TENANT)
    name: Mapped[str] = mapped_column(String(256))
    state: Mapped[DatasetState] = mapped_column(String(16), default=DatasetState.VALIDATING)
    bytes: Mapped[int]
    """Of the archive; 0 until the server that it is fetched from has said so, or all has come."""
    sha256: Mapped[str] = mapped_column(String(64))
    """Of the archive; empty until it has been fetched."""
    upload_key: Mapped[str | None] = mapped_column(String(256))
    """Storage key of the archive, which data sets with the same bytes share; None before it has been fetched, and once
    the import has read it."""
    source_url: Mapped[str | None] = mapped_column(Text())
    """The address that it is fetched from. As it was sent, secrets included, until the archive has come or the import
    has ended; then as it is shown (`app.domain.sources.shown_url`)."""
    prepared_key: Mapped[str | None] = mapped_column(String(256))
    """Storage key of `prepared.zip` (index.json and images), once ready; shared likewise where it holds the same."""
    digest: Mapped[str | None] = mapped_column(String(64))
    progress: Mapped[float] = mapped_column(default=0.0)
    """0..1 of the import."""
    summary: Mapped[dict[str, Any] | None]
    """What a list says of it: `images`, `class_count` and `counts` by split; None until it is ready."""
    options: Mapped[dict[str, Any] | None]
    """What its owner says about the archive (`ImportOptions`); None: nothing."""
    layout: Mapped[dict[str, Any] | None]
    """How the import has read the archive, or between which readings its owner has to choose (`Understanding`); None
    until then, and in data sets that an earlier version has imported."""
    answered_epoch: Mapped[int] = mapped_column(default=0, server_default="0")
    """The attempt that asked the question that was answered last: those before it were not lost."""
    report: Mapped[dict[str, Any] | None]
    """What the import found, with the first classes only: `DatasetClass` has all. Long, so read where it is wanted."""
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)

    __table_args__ = (
        Index(None, "tenant", "id"),
        Index(None, "state"),
        Index(None, "tenant", "sha256"),
        Index(None, "upload_key"),
        Index(None, "prepared_key"),
    )


class DatasetClass(Base):
    """One class of a data set that is ready. There may be thousands, so each is a row, read by the page."""

    __tablename__ = "dataset_classes"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Its place among the student's outputs, from 0."""
    name: Mapped[str] = mapped_column(String(256))
    train: Mapped[int]
    """Images, as `val` and `test`."""
    val: Mapped[int]
    test: Mapped[int]


_KEPT = text("checkpoint_key IS NOT NULL")


class Job(Leased, Base):
    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), default=DEFAULT_TENANT)
    dataset_id: Mapped[str] = mapped_column(Id)
    """No foreign key: a job that has ended outlives its data set, whose bytes the user may want gone."""
    state: Mapped[JobState] = mapped_column(String(16), default=JobState.QUEUED)
    stage: Mapped[Stage | None] = mapped_column(String(16))
    progress: Mapped[float] = mapped_column(default=0.0)
    expected_end: Mapped[datetime | None]
    """When a running job will have ended by its own pace, by the database's clock; None while that is unknown."""
    expected_seconds: Mapped[float | None]
    """How long it was expected to run when it was accepted; None where no worker had measured enough."""
    priority: Mapped[int] = mapped_column(default=0)
    spec: Mapped[dict[str, Any]]
    """The JobSpec as asked, defaults filled in."""
    warnings: Mapped[list[Any]] = mapped_column(default=list)
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The latest value of each metric."""
    evaluation: Mapped[dict[str, Any] | None]
    """What evaluation.json holds; where the job names `students`, by student."""
    choice: Mapped[dict[str, Any] | None]
    """The file that fits the job's constraints, or comes closest; None until it has succeeded."""
    error: Mapped[dict[str, Any] | None]
    attempts: Mapped[int] = mapped_column(default=0)
    """Claims since the last progress that did not end with the job being handed back."""
    stop_requested: Mapped[StopRequest | None] = mapped_column(String(16))
    """What its worker shall do to it while it runs."""
    preview_wanted: Mapped[str | None] = mapped_column(String(128))
    """The student of whose latest preview somebody wants the ONNX file."""
    keep_preview: Mapped[bool | None]
    """Whether its previews become its files if it is cancelled."""
    checkpoint_key: Mapped[str | None] = mapped_column(String(256))
    """Storage key of the newest checkpoint that was taken off its worker."""
    checkpoint_epoch: Mapped[int] = mapped_column(default=0)
    """The attempt that wrote it; 0 in a retried job, whose checkpoint another job wrote."""
    retry_of: Mapped[str | None] = mapped_column(Id)
    """The ended job that this one tries again."""
    rerun_of: Mapped[str | None] = mapped_column(Id)
    """The ended job that this one repeats from the start."""
    reproduces: Mapped[dict[str, Any] | None]
    """How like the repeated job's its result is (app.domain.reproduction); None until it has succeeded."""
    user_metadata: Mapped[dict[str, Any]] = mapped_column(default=dict)
    webhook_url: Mapped[str | None] = mapped_column(String(2048))
    """Told of each change of its state."""
    track: Mapped[dict[str, Any] | None]
    """Where it is logged when it ends (`app.domain.tracking.Track`); None: nowhere."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    read_at: Mapped[datetime] = column_property(func.now(type_=UtcDateTime()), expire_on_flush=False)
    """The database's clock when the row was read: the clocks of the hosts may differ."""
    files_deleted_at: Mapped[datetime | None]
    """When its files were deleted by age; the rest of it is kept."""

    __table_args__ = (
        Index(None, "tenant", "id"),
        Index(None, "tenant", "state", "id"),
        Index(None, "state", "priority", "tenant", "id"),
        Index(None, "dataset_id"),
        # the few that the reconciler has to look at
        Index("ix_jobs_checkpoint_key", "checkpoint_key", postgresql_where=_KEPT, sqlite_where=_KEPT),
        Index("ix_jobs_user_metadata", "user_metadata", postgresql_using="gin", info={"postgresql_only": True}),
    )


class QueueTurn(Base):
    """When a tenant last had its turn among jobs of one priority: the number of the claim, counted over all tenants."""

    __tablename__ = "queue_turns"

    priority: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    turn: Mapped[int]


class Total(Base):
    """What is counted over all time and all processes, for `/metrics`."""

    __tablename__ = "totals"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    label: Mapped[str] = mapped_column(String(64), primary_key=True, default="")
    """Tells the parts of one total apart, a stage or a state; empty where there is one only."""
    value: Mapped[float]


class JobEvent(Base):
    """What happened to a job, in order; each state change is one."""

    __tablename__ = "job_events"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    """1, 2, 3 … within the job."""
    epoch: Mapped[int]
    kind: Mapped[str] = mapped_column(String(32))
    """`state`, `stage`, `info`, `warning`."""
    code: Mapped[str] = mapped_column(String(64))
    message: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class JobMetric(Base):
    """A piece of the curves: many points in one row, as the supervisor received them between two writes."""

    __tablename__ = "job_metrics"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    """1, 2, 3 … within the job."""
    epoch: Mapped[int]
    stage: Mapped[Stage] = mapped_column(String(16))
    first_step: Mapped[int]
    last_step: Mapped[int]
    points: Mapped[list[Any]]
    """[{"step": int, "values": {name: float}}, …] of one stage, steps rising."""


class Artifact(Base):
    """A published file. Rows appear only in the transaction that finishes the job."""

    __tablename__ = "artifacts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(256), primary_key=True)
    """`student.onnx`; where the job names `students`, `<student>/student.onnx`."""
    bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    media_type: Mapped[str] = mapped_column(String(128))
    storage_key: Mapped[str] = mapped_column(String(512))


class JobPreview(Base):
    """A file of a student of the moment, while its job trains; each newer one takes its place. The reconciler deletes
    those of ended jobs."""

    __tablename__ = "job_previews"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    student: Mapped[str] = mapped_column(String(128), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    """`student.preview.safetensors` or `student.preview.onnx`."""
    step: Mapped[int]
    mark: Mapped[dict[str, Any]]
    """What it is (app.domain.previews.PreviewMark)."""
    bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    storage_key: Mapped[str] = mapped_column(String(512))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Keyed:
    """What a client's Idempotency-Key made, and from which request."""

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class IdempotencyKey(Keyed, Base):
    """Of a job."""

    __tablename__ = "idempotency_keys"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))

    @property
    def made(self) -> str:
        """The id of the job."""
        return self.job_id


class DatasetIdempotencyKey(Keyed, Base):
    """Of a data set."""

    __tablename__ = "dataset_idempotency_keys"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))

    @property
    def made(self) -> str:
        """The id of the data set."""
        return self.dataset_id


class Worker(Base):
    """A worker that has announced itself."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    hostname: Mapped[str] = mapped_column(String(256))
    queue: Mapped[str] = mapped_column(String(32))
    device: Mapped[str] = mapped_column(String(64), default="cpu")
    catalog_sha256: Mapped[str | None] = mapped_column(ForeignKey("catalogs.sha256"))
    started_at: Mapped[datetime] = mapped_column(default=utcnow)
    seen_at: Mapped[datetime] = mapped_column(default=utcnow)
    """Its last sign of life, by the database's clock."""
    stopped_at: Mapped[datetime | None]
    """When it was told to stop; None while it runs, and of one that was lost."""
    machine: Mapped[str | None] = mapped_column(String(256))
    """Its kind of machine, under which `speeds` stand; None of a worker that trains nothing."""
    memory_bytes: Mapped[int | None]
    """What its machine or container has."""

    __table_args__ = (UniqueConstraint("hostname", "queue", "device"),)


class Speed(Base):
    """What one unit of work costs on a kind of machine, as its workers have measured it (app.domain.speeds)."""

    __tablename__ = "speeds"

    machine: Mapped[str] = mapped_column(String(256), primary_key=True)
    work: Mapped[str] = mapped_column(String(32), primary_key=True)
    subject: Mapped[str] = mapped_column(String(128), primary_key=True)
    size: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    how: Mapped[str] = mapped_column(String(64), primary_key=True)
    amounts: Mapped[list[Any]]
    """The latest few, the newest last."""
    of_jobs: Mapped[bool]
    """Whether jobs have told it, or only a measurement in idle time."""
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class CatalogRow(Base):
    """An offer (app.domain.catalog.Catalog), stored once whatever number of workers make it."""

    __tablename__ = "catalogs"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    payload: Mapped[dict[str, Any]]
    published_at: Mapped[datetime] = mapped_column(default=utcnow)


class PartialRow(Base):
    """A resumable upload. How much of it is there, its file alone knows (`app/storage/partial.py`)."""

    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    length: Mapped[int]
    """In bytes, once it is complete."""
    name: Mapped[str] = mapped_column(String(256))
    upload_metadata: Mapped[str]
    """The header Upload-Metadata, to be given back as it was sent."""
    dataset_id: Mapped[str | None] = mapped_column(Id)
    """The data set that was made of it; its file is gone then."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime]
    """Put off by every request that adds to it."""

    __table_args__ = (Index(None, "tenant", "id"), Index(None, "expires_at"))
