"""Jobs: the queue, what happens to them, and what comes out."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, func, text
from sqlalchemy.orm import Mapped, column_property, mapped_column

from app.db.models.base import DEFAULT_TENANT, Base, Id, Keyed, Leased, UtcDateTime, utcnow
from app.domain.states import JobState, Stage, StopRequest

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


class IdempotencyKey(Keyed, Base):
    """Of a job."""

    __tablename__ = "idempotency_keys"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))

    @property
    def made(self) -> str:
        """The id of the job."""
        return self.job_id
