"""What a job's life must be like, and a store in which very many of them are lived quickly."""

from dataclasses import dataclass, field

from sqlalchemy import Engine, delete, event, select
from sqlalchemy.orm import Session

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import Artifact, Dataset, Job, JobEvent, JobMetric, QueueTurn
from app.db.queries import queue
from app.domain.catalog import Catalog, StudentCard
from app.domain.states import JOB_TRANSITIONS, DatasetState, JobState, StopRequest
from app.services import catalog
from app.services.leases import MOST_ATTEMPTS

TENANTS = ("ann", "bob", "cyd")
OFFER = Catalog(teachers=(), students=(StudentCard(name="test_vit", family="vision_transformer", parameters=1),))


@dataclass
class Expected:
    """What the store must say of a job."""

    tenant: str
    state: JobState = JobState.QUEUED
    epoch: int = 0
    beats: int = 0
    attempts: int = 0
    progress: float = 0.0
    stop: StopRequest | None = None
    checkpoint: str | None = None
    error: str | None = None
    history: list[JobState] = field(default_factory=lambda: [JobState.QUEUED])

    def move(self, to: JobState) -> None:
        assert to in JOB_TRANSITIONS[self.state]
        self.state, self.stop = to, None
        self.history.append(to)

    def give_back(self) -> None:
        wanted = {StopRequest.CANCEL: JobState.CANCELLED, StopRequest.PAUSE: JobState.PAUSED, None: JobState.QUEUED}
        self.move(wanted[self.stop])

    def lose(self) -> None:
        if self.attempts >= MOST_ATTEMPTS and self.stop is None:
            self.error = "worker_lost_repeatedly"
            self.move(JobState.FAILED)
        else:
            self.give_back()


def row_of(row: Job | JobEvent | JobMetric | Artifact) -> tuple[object, ...]:
    """All columns, but for the checkpoint that an ended job leaves to its heir, and the time of the query."""
    names = (attribute.key for attribute in row.__mapper__.column_attrs)
    names = (name for name in names if name not in {"checkpoint_key", "read_at"})
    return tuple(getattr(row, name) for name in names)


def forecast(session: Session) -> dict[str, int]:
    """Queued jobs and their places, the first one first."""
    waiting = session.scalars(select(Job.id).where(Job.state == JobState.QUEUED)).all()
    places = {job_id: place.position for job_id, place in queue.queue_positions(session, waiting).items()}
    return dict(sorted(places.items(), key=lambda item: item[1]))


def empty(store: Store) -> dict[str, str]:
    """Forget all jobs; each tenant has a data set and its id."""
    datasets = {tenant: new_id("ds") for tenant in TENANTS}
    with store.write() as session:
        for table in (Artifact, JobMetric, JobEvent, QueueTurn, Job, Dataset):
            session.execute(delete(table))
        catalog.register(session, "host", "training", "cpu", OFFER)
        for tenant, dataset_id in datasets.items():
            row = Dataset(id=dataset_id, tenant=tenant, name="n", bytes=1, sha256="0" * 64, prepared_key="prepared")
            row.state = DatasetState.READY
            session.add(row)
    return datasets


def hurry(engine: Engine) -> None:
    """Thousands of small commits that nobody will miss need not reach the disk."""
    quick = "PRAGMA synchronous=OFF" if engine.dialect.name == "sqlite" else "SET synchronous_commit=off"

    def on_connect(connection: object, _record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        cursor.execute(quick)
        cursor.close()
        if engine.dialect.name != "sqlite":
            connection.commit()  # type: ignore[attr-defined]

    event.listen(engine, "connect", on_connect)
