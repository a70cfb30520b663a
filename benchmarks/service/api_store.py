"""A store as it is after a year: many jobs, nearly all of them ended, of several tenants. In a schema of its own."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import NullPool, create_engine, insert, select, text
from sqlalchemy.orm import Session

from app.db.engine import Store
from app.db.migrate import upgrade
from app.db.models import DEFAULT_TENANT, Dataset, DatasetClass, Job, utcnow
from app.domain.catalog import Catalog, StudentCard, TeacherCard
from app.domain.spec import JobSpec
from app.domain.states import DatasetState, JobState, Stage
from app.services import catalog

TENANTS = 8
QUEUED, RUNNING = 300, 200
"""Fewer where there are few jobs."""
CLASSES = 20
_BATCH = 2000
TEACHER, STUDENT = "vit_small_patch14_dinov2.lvd142m", "mobilenetv3_small_050"
CARDS = 1300
"""Teachers of a worker, and students: about as many as timm has."""


@dataclass(frozen=True)
class Filled:
    """What there is for the caller without a key, who is one of the tenants."""

    dataset_id: str
    ended: list[str]
    queued: list[str]
    running: list[str]


@contextmanager
def schema(server: str) -> Iterator[str]:
    """An empty, migrated schema of that server; dropped afterwards.

    Args:
        server: URL of a Postgres database.
    """
    with empty_schema(server) as url:
        upgrade(url)
        yield url


@contextmanager
def empty_schema(server: str) -> Iterator[str]:
    """The same without a table."""
    name = f"bench_{uuid.uuid4().hex[:12]}"
    engine = create_engine(server, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    try:
        yield f"{server}?options=-csearch_path%3D{name}"
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {name} CASCADE"))


def fill(store: Store, jobs: int) -> Filled:
    """Write `jobs` jobs with their events, curves and artefacts, and let the planner look at them."""
    with store.write() as session:
        datasets = _datasets(session)
        catalog.register(session, "bench", "training", "cpu", _catalog())
        for first in range(0, jobs, _BATCH):
            batch = [_job(number, jobs, datasets) for number in range(first, min(jobs, first + _BATCH))]
            session.execute(insert(Job), batch)
        for rows in _CHILDREN:
            session.execute(text(rows))
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    with store.read() as session:

        def ids(*states: JobState) -> list[str]:
            found = select(Job.id).where(Job.tenant == DEFAULT_TENANT, Job.state.in_(states)).order_by(Job.id)
            return list(session.scalars(found))

        ended_ids = ids(JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
        return Filled(datasets[0], ended_ids, ids(JobState.QUEUED), ids(JobState.RUNNING))


def _catalog() -> Catalog:
    teachers, students = [TEACHER], [STUDENT]
    teachers += [f"architecture_{number}.tag" for number in range(1, CARDS)]
    students += [f"architecture_{number}" for number in range(1, CARDS)]
    return Catalog(
        teachers=tuple(
            TeacherCard(
                name=name, architecture=name.partition(".")[0], family="vit", parameters=22_000_000, input_size=224
            )
            for name in teachers
        ),
        students=tuple(StudentCard(name=name, family="mobilenetv3", parameters=1_000_000) for name in students),
    )


def _datasets(session: Session) -> list[str]:
    """Thirty of each tenant; gives one of each."""
    names = [f"class-{k}" for k in range(CLASSES)]
    totals = dict.fromkeys(("train", "test"), 50 * CLASSES)
    summary = {"images": 100 * CLASSES, "class_count": CLASSES, "counts": totals}
    report = {
        "classes": names,
        "class_count": CLASSES,
        "counts": {split: dict.fromkeys(names, 50) for split in totals},
        "totals": totals,
        "images": 100 * CLASSES,
    }
    rows = [
        Dataset(
            id=_id("ds", number),
            tenant=_tenant(number),
            name=f"{number}.zip",
            state=DatasetState.READY,
            bytes=10**8,
            sha256="0" * 64,
            prepared_key=f"datasets/{_id('ds', number)}/e1/prepared.zip",
            digest="d" * 64,
            summary=summary,
            report=report,
        )
        for number in range(30 * TENANTS)
    ]
    session.add_all(rows)
    session.flush()
    classes = [
        {"dataset_id": row.id, "number": number, "name": name, "train": 50, "val": 0, "test": 50}
        for row in rows
        for number, name in enumerate(names)
    ]
    session.execute(insert(DatasetClass), classes)
    return [row.id for row in rows[:TENANTS]]


def _job(number: int, jobs: int, datasets: list[str]) -> dict[str, Any]:
    """Running and queued ones are the youngest; of the others nine in ten have succeeded."""
    queued, running = min(QUEUED, jobs // 5), min(RUNNING, jobs // 5)
    state = [JobState.SUCCEEDED] * 18 + [JobState.FAILED, JobState.CANCELLED]
    now = utcnow()
    created = now - timedelta(seconds=30 * (jobs - number))
    owner = number
    job: dict[str, Any] = {"state": state[number // TENANTS % len(state)], "finished_at": created, "epoch": 1}
    if number >= jobs - queued:
        job = {"state": JobState.QUEUED, "finished_at": None, "epoch": 0}
    elif number >= jobs - queued - running:
        job = {"state": JobState.RUNNING, "finished_at": None, "epoch": 1}
        owner = 0  # so that the caller may follow all of them
    dataset_id = datasets[owner % TENANTS]
    names = ("loss", "learning_rate", "val_accuracy", "student_accuracy", "teacher_accuracy", "images_per_second")
    done = job["state"] == JobState.SUCCEEDED
    return job | {
        "id": _id("job", number),
        "tenant": _tenant(owner),
        "dataset_id": dataset_id,
        "stage": Stage.DISTILL if job["epoch"] else None,
        "progress": 1.0 if done else 0.0,
        "priority": number % 3 - 1,
        "spec": JobSpec(dataset_id=dataset_id, teacher=TEACHER, student=STUDENT).model_dump(mode="json"),
        "metrics": dict.fromkeys(names, 0.123456789) if job["epoch"] else {},
        "evaluation": _EVALUATION if done else None,
        "error": {"code": "non_finite_loss", "detail": "…"} if job["state"] == JobState.FAILED else None,
        "user_metadata": {"owner": f"user-{number % 50}"},
        "created_at": created,
        "updated_at": created,
        "started_at": created if job["epoch"] else None,
        "worker_id": _id("wk", 0) if job["state"] == JobState.RUNNING else None,
    }


def _tenant(number: int) -> str:
    return f"tenant-{number % TENANTS}" if number % TENANTS else DEFAULT_TENANT


def _id(prefix: str, number: int) -> str:
    """As of a time before any id that is made now."""
    return f"{prefix}_01H{number:023d}"


_EVALUATION = {
    "student": {
        "top1": 0.9,
        "per_class": {f"class-{k}": {"precision": 0.9, "recall": 0.9, "support": 50} for k in range(CLASSES)},
        "confusion": [[50 * (a == b) for a in range(CLASSES)] for b in range(CLASSES)],
    }
}

_CHILDREN = (
    """INSERT INTO job_events (job_id, seq, epoch, kind, code, message, data, created_at)
    SELECT id, n, epoch, 'state', 'claimed', 'A worker has started attempt 1.', '{}', created_at
    FROM jobs, generate_series(1, 3) n""",
    """INSERT INTO job_metrics (job_id, seq, epoch, stage, first_step, last_step, points)
    SELECT id, n, epoch, 'distill', n, n, '[{"step": 1, "values": {"loss": 0.5, "learning_rate": 0.01}}]'
    FROM jobs, generate_series(1, 2) n WHERE epoch > 0""",
    """INSERT INTO artifacts (job_id, name, bytes, sha256, media_type, storage_key)
    SELECT id, name, 4000000, repeat('0', 64), 'application/octet-stream', 'jobs/' || id || '/e1/' || name
    FROM jobs, unnest(ARRAY['student.onnx', 'student.ts', 'manifest.json']) name WHERE state = 'succeeded'""",
    """INSERT INTO idempotency_keys (tenant, key, request_sha256, job_id, created_at)
    SELECT tenant, id, repeat('0', 64), id, created_at FROM jobs""",
    """INSERT INTO totals (name, label, value)
    SELECT 'jobs_finished', state, count(*) FROM jobs WHERE finished_at IS NOT NULL GROUP BY state""",
)
