"""What must hold in the end, read from the API, the store, the storage and the workers' scratch."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from sqlalchemy import select

from app.db.engine import Store
from app.db.models import Artifact, Dataset, Job, JobEvent
from app.domain.states import TERMINAL_JOB_STATES, DatasetState, JobState
from app.storage.keys import preview_key
from benchmarks.service.soak.client import Client
from benchmarks.service.soak.ledger import Ledger
from benchmarks.service.soak.stack import SoakStack

SETTLE_SECONDS = 600.0
"""Nothing is killed any more: the longest lease, and whatever waits in the queue."""
TIDY_SECONDS = 90.0
"""Until leftovers of the killed are deleted."""
GIVEN_UP = "worker_lost_repeatedly"
"""How a job rightly ends that was killed three times without progress."""


def settle(stack: SoakStack, ledger: Ledger) -> None:
    """Wait until everything has ended; what has not by then is a finding."""
    if not _within(SETTLE_SECONDS, lambda: not list(_unended(stack))):
        for unended in _unended(stack):
            ledger.find(unended)


def check(stack: SoakStack, ledger: Ledger, client: Client) -> None:
    """Note as a finding whatever is not as it must be."""
    with stack.store.read() as session:
        jobs, datasets = list(session.scalars(select(Job))), list(session.scalars(select(Dataset)))
    for problem in (*_of_datasets(ledger, datasets), *of_jobs(stack.store, ledger, jobs)):
        ledger.find(problem)
    _within(TIDY_SECONDS, lambda: not list(_left_behind(stack)))
    for problem in _left_behind(stack):
        ledger.find(problem)
    for job in jobs:
        if job.state == JobState.SUCCEEDED and not _within(60, lambda job_id=job.id: client.check_files(job_id)):
            ledger.find(f"{job.id}: its files cannot be downloaded")


def of_jobs(store: Store, ledger: Ledger, jobs: list[Job]) -> Iterator[str]:
    """What is wrong with the jobs of a store, against what was promised."""
    known = {job.id: job for job in jobs}
    for job_id, ends_as in ledger.jobs.items():
        job = known.get(job_id)
        if job is not None and job.state == JobState.FAILED and (job.error or {}).get("code") == GIVEN_UP:
            ledger.count("jobs given up")
        elif job is None or job.state != ends_as:
            state, error = (job.state, job.error) if job is not None else ("lost", None)
            yield f"{job_id} was accepted and is {state} instead of {ends_as}: {error}"
    yield from (f"{job_id} exists and nobody was told" for job_id in known.keys() - ledger.jobs.keys())
    for job in jobs:
        ledger.count(f"jobs {job.state}")
        ledger.count("attempts", job.epoch)
        yield from _run_once(store, job)


def _unended(stack: SoakStack) -> Iterator[str]:
    with stack.store.read() as session:
        for job in session.scalars(select(Job).where(Job.state.not_in(TERMINAL_JOB_STATES))):
            yield f"{job.id} has not ended: {job.state}, attempt {job.epoch}"
        for dataset in session.scalars(select(Dataset).where(Dataset.state == DatasetState.VALIDATING)):
            yield f"{dataset.id} has not ended: {dataset.state}, attempt {dataset.epoch}"


def _of_datasets(ledger: Ledger, datasets: list[Dataset]) -> Iterator[str]:
    states = {dataset.id: dataset.state for dataset in datasets}
    for dataset_id, ends_as in ledger.datasets.items():
        if (state := states.get(dataset_id)) != ends_as:
            yield f"{dataset_id} was accepted and is {state or 'lost'} instead of {ends_as}"
    for state in states.values():
        ledger.count(f"data sets {state}")


def _run_once(store: Store, job: Job) -> Iterator[str]:
    """Each attempt was claimed once and after the end of the one before; one of them succeeded."""
    with store.read() as session:
        events = list(session.scalars(select(JobEvent).where(JobEvent.job_id == job.id).order_by(JobEvent.seq)))
        names = list(session.scalars(select(Artifact.storage_key).where(Artifact.job_id == job.id)))
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        yield f"{job.id}: its events have gaps"
    moves = [event.data for event in events if event.kind == "state" and "to" in event.data]
    if any(earlier["to"] != later["from"] for earlier, later in pairwise(moves)):
        yield f"{job.id}: its states do not follow each other: {moves}"
    claims = [event.epoch for event in events if event.code == "claimed"]
    if claims != list(range(1, job.epoch + 1)):
        yield f"{job.id} is at attempt {job.epoch} and was claimed for {claims}"
    successes = sum(event.code == "succeeded" for event in events)
    if successes != (job.state == JobState.SUCCEEDED):
        yield f"{job.id} is {job.state} and has succeeded {successes} times"
    if any(f"/e{job.epoch}/" not in name for name in names) or bool(names) != bool(successes):
        yield f"{job.id} is {job.state} and has the files {names}"


def _left_behind(stack: SoakStack) -> Iterator[str]:
    with stack.store.read() as session:
        named = set(session.scalars(select(Artifact.storage_key)))
        for dataset in session.scalars(select(Dataset)):
            named |= {key for key in (dataset.upload_key, dataset.prepared_key) if key}
            named |= {preview_key(dataset.prepared_key)} if dataset.prepared_key else set()
        named |= set(session.scalars(select(Job.checkpoint_key).where(Job.checkpoint_key.is_not(None))))
    root = Path(stack.settings.storage.removeprefix("file://"))
    stored = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    yield from (f"the blob {key} belongs to nobody" for key in sorted(stored - named))
    yield from (f"the blob {key} is lost" for key in sorted(named - stored))
    for home in stack.homes:
        for pattern in ("jobs/*", "uploads/*", "imports/*", "**/*.tmp"):
            yield from (f"{path} was left behind" for path in (home / "scratch").glob(pattern))
    if children := stack.training_children():
        yield f"{len(children)} training processes still run"


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(1)
    return True
