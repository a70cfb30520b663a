"""Workers that die and workers that come back from the dead, all at one queue: `python -m benchmarks.service.race`.

Each process claims jobs, beats, and then does one of four things by chance: it finishes the job; it hands it back; it
dies, which is to drop the claim; or it turns zombie: it falls silent until the job is taken from it, and then tries
every write that a holder may make. A reaper beside them takes back what has fallen silent. In the end each job must
have succeeded once, and no write of a zombie may have been accepted. Real processes and a real database; what is
missing is the training itself.

    --database URL   an empty database (default: an SQLite file in a temporary folder)
    --processes 8  --jobs 400  --lease 0.5 (seconds)  --seed 0
"""

import argparse
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db.engine import Store
from app.db.ids import new_id
from app.db.migrate import upgrade
from app.db.models import Artifact, Dataset, Job, JobEvent
from app.db.queries import jobs as queries
from app.db.queries import queue, statistics
from app.db.queries.claims import Claim
from app.domain.manifest import ArtifactFile
from app.domain.progress import EventLine
from app.domain.spec import JobSpec
from app.domain.states import TERMINAL_JOB_STATES, DatasetState, JobState, StopRequest
from app.services import leases, reaping
from app.services.leases import JOBS, JobClaim
from app.services.reaping import Watch
from worker.lease import STORE_AWAY

FATES = {"finish": 0.55, "hand back": 0.1, "die": 0.15, "turn zombie": 0.2}
TENANTS = ("ann", "bob", "cyd")
FILE = ArtifactFile(name="student.onnx", bytes=1, sha256="0" * 64, media_type="text/plain")
PROBLEM = {"code": "training_failed", "detail": "A zombie says so."}
ZOMBIE_WRITES: dict[str, Callable[[Session, Claim], bool]] = {
    "beat": lambda session, claim: JOBS.beat(session, claim).alive,
    "record": lambda session, claim: leases.record(
        session, claim, progress=0.99, events=[EventLine(code="c", message="m")]
    ),
    "keep a checkpoint": lambda session, claim: leases.keep_checkpoint(session, claim, "jobs/zombie"),
    "finish": lambda session, claim: leases.finish_job(session, claim, [FILE], None, {}),
    "fail": lambda session, claim: leases.fail_job(session, claim, PROBLEM),
    "hand back": lambda session, claim: leases.release_job(session, claim, "worker_stopping"),
    "lose": lambda session, claim: leases.record_lost_attempt(session, claim, "It says so itself."),
}
T = TypeVar("T")


@dataclass(frozen=True)
class Race:
    """One race; its outcome is counted by `run`."""

    database: str
    processes: int = 8
    jobs: int = 400
    lease: float = 0.5
    """Seconds without a beat after which the reaper takes a job back."""
    seed: int = 0


def run(race: Race) -> Counter[str]:
    """Counts of what happened, and of what must not: `lost`, `finished twice`, `zombie writes accepted`."""
    upgrade(race.database)
    store = Store(race.database)
    _submit(store, race)
    began = time.monotonic()
    with ProcessPoolExecutor(race.processes + 1, mp_context=multiprocessing.get_context("spawn")) as pool:
        reaper = pool.submit(_reap, race)
        racers = [pool.submit(_race, race, number) for number in range(race.processes)]
        counts = sum((racer.result() for racer in racers), Counter[str]())
        counts["reaped"] = reaper.result()
    counts["seconds"] = round(time.monotonic() - began)
    counts.update(_verdict(store, race, counts))
    store.close()
    return counts


def _submit(store: Store, race: Race) -> None:
    dataset_id = new_id("ds")
    spec = JobSpec(dataset_id=dataset_id, student="test_vit", method="scratch").model_dump(mode="json")
    with store.write() as session:
        dataset = Dataset(id=dataset_id, name="n", bytes=1, sha256="0" * 64, prepared_key="prepared")
        dataset.state = DatasetState.READY
        session.add(dataset)
        for number in range(race.jobs):
            tenant = TENANTS[number % len(TENANTS)]
            session.add(Job(id=new_id("job"), tenant=tenant, dataset_id=dataset_id, spec=spec, priority=number % 2))


def _race(race: Race, number: int) -> Counter[str]:
    """One process, until all jobs have ended."""
    store, chance, counts = Store(race.database), random.Random(f"{race.seed}/{number}"), Counter[str]()
    while not _all_ended(store):
        claim = _write(store, counts, lambda session: _claim_next(session, f"wk_{number}"))
        if claim is None:
            time.sleep(0.02)
            continue
        counts["claims"] += 1
        (fate,) = chance.choices(list(FATES), list(FATES.values()))
        if not _work(store, claim, counts):
            counts["fenced while at work"] += 1
        elif fate == "finish":
            accepted = _write(
                store, counts, lambda session, held=claim: leases.finish_job(session, held, [FILE], None, {})
            )
            counts["finishes" if accepted else "fenced while at work"] += 1
        elif fate == "hand back":
            _write(store, counts, lambda session, held=claim: leases.release_job(session, held, "worker_stopping"))
            counts["handed back"] += 1
        elif fate == "die":
            counts["deaths"] += 1
        else:
            counts["zombies"] += 1
            _haunt(store, claim, counts)
    store.close()
    return counts


def _claim_next(session: Session, worker_id: str) -> JobClaim | None:
    job_id = queue.next_queued_job(session)
    return None if job_id is None else leases.claim_job(session, job_id, worker_id)


def _work(store: Store, claim: JobClaim, counts: Counter[str]) -> bool:
    """Two beats, and progress, without which the third loss of a job would be its end. False: it was taken away."""
    progress = 1 - 1 / (claim.epoch + 1)
    return (
        _write(store, counts, lambda session: JOBS.beat(session, claim).alive)
        and _write(store, counts, lambda session: leases.record(session, claim, progress=progress))
        and _write(store, counts, lambda session: JOBS.beat(session, claim).alive)
    )


def _haunt(store: Store, claim: JobClaim, counts: Counter[str]) -> None:
    """Fall silent until the job is taken away, then try everything."""
    while _holds(store, claim):
        time.sleep(0.02)
    for write in ZOMBIE_WRITES.values():
        counts["zombie writes"] += 1
        counts["zombie writes accepted"] += _write(store, counts, lambda session, w=write: w(session, claim))


def _holds(store: Store, claim: JobClaim) -> bool:
    with store.read() as session:
        job = session.get_one(Job, claim.id)
    return job.epoch == claim.epoch and job.state == JobState.RUNNING


def _reap(race: Race) -> int:
    store, watch, counts, reaped = Store(race.database), Watch(), Counter[str](), 0
    while not _all_ended(store):
        with store.read() as session:
            held = queries.held_jobs(session)
        for one, seconds in watch.seconds_still(held, time.monotonic()).items():
            if seconds > race.lease:
                state = _write(store, counts, lambda session, silent=one: reaping.reap_job(session, silent))
                reaped += state is not None
        time.sleep(0.05)
    store.close()
    return reaped


def _all_ended(store: Store) -> bool:
    with store.read() as session:
        alive = select(Job.id).where(Job.state.not_in(TERMINAL_JOB_STATES)).limit(1)
        return session.execute(alive).first() is None


def _write(store: Store, counts: Counter[str], change: Callable[[Session], T]) -> T:
    """As a worker writes: again, where the store was away (SQLite: locked for too long)."""
    while True:
        try:
            with store.write() as session:
                return change(session)
        except STORE_AWAY:
            counts["store away"] += 1


def _verdict(store: Store, race: Race, counts: Counter[str]) -> Counter[str]:
    """What the store says of it afterwards."""
    with store.read() as session:
        jobs = session.scalars(select(Job)).all()
        events = Counter(tuple(row) for row in session.execute(select(JobEvent.job_id, JobEvent.code)))
        published = session.execute(select(Artifact.job_id, func.count()).group_by(Artifact.job_id)).all()
        keys = {row.job_id: row.storage_key for row in session.scalars(select(Artifact))}
        counted = statistics.totals(session)
    succeeded = [job for job in jobs if job.state == JobState.SUCCEEDED]
    assert sum(events[job.id, "claimed"] for job in jobs) == sum(job.epoch for job in jobs) == counts["claims"]
    assert counted[statistics.ATTEMPTS, ""] == counts["claims"]
    assert all(keys[job.id] == f"jobs/{job.id}/e{job.epoch}/student.onnx" for job in succeeded)
    assert all(count == 1 for _, count in published)
    assert not any(job.stop_requested in set(StopRequest) or job.checkpoint_key for job in jobs)
    return Counter(
        {
            "jobs": race.jobs,
            "lost": race.jobs - len(succeeded),
            "finished twice": sum(events[job.id, "succeeded"] > 1 for job in jobs)
            + counts["finishes"]
            - len(succeeded),
        }
    )


COLUMNS = (
    *("seconds", "jobs", "claims", "finishes", "handed back", "deaths", "zombies", "reaped", "fenced while at work"),
    *("zombie writes", "zombie writes accepted", "finished twice", "lost"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", default="")
    for name, kind in (("processes", int), ("jobs", int), ("lease", float), ("seed", int)):
        parser.add_argument(f"--{name}", type=kind, default=getattr(Race, name))
    options = vars(parser.parse_args())
    with tempfile.TemporaryDirectory() as folder:
        database = options.pop("database") or f"sqlite:///{folder}/race.db"
        counts = run(Race(database, **options))
    print("| store | processes | " + " | ".join(COLUMNS) + " |\n|" + "---|" * (len(COLUMNS) + 2))
    figures = " | ".join(str(counts[column]) for column in COLUMNS)
    print(f"| {database.partition(':')[0].partition('+')[0]} | {options['processes']} | {figures} |")


if __name__ == "__main__":
    main()
