"""What must hold after every fault, read from the store, the blobs, the scratch folders and the kernel's processes."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import psutil
from sqlalchemy import select
from stack import WAIT_SECONDS, Stack

from app.db.models import Artifact, Dataset, Job
from app.domain.files import sha256_file
from app.domain.states import TERMINAL_JOB_STATES, DatasetState, JobState
from app.storage.keys import preview_key
from tests.support import files_below


def check(stack: Stack) -> None:
    """Wait until everything holds. What is tidied up by caretakers may take a moment; what is wrong stays wrong."""
    deadline = time.monotonic() + WAIT_SECONDS
    while wrong := sorted(_findings(stack)):
        assert time.monotonic() < deadline, "\n".join(wrong)
        time.sleep(0.2)


def _findings(stack: Stack) -> Iterator[str]:
    with stack.store.read() as session:
        jobs = list(session.scalars(select(Job)))
        datasets = list(session.scalars(select(Dataset)))
        artifacts = list(session.scalars(select(Artifact)))
    known = {row.id for row in (*jobs, *datasets)}
    yield from (f"{made} was acknowledged and is lost" for made in stack.acknowledged if made not in known)
    for job in jobs:
        yield from _of_job(stack, job, [a for a in artifacts if a.job_id == job.id])
    for dataset in datasets:
        yield from _of_dataset(dataset)
    yield from _of_blobs(stack, jobs, datasets, artifacts)
    ended = {job.id for job in jobs if job.state in TERMINAL_JOB_STATES}
    ended |= {dataset.id for dataset in datasets if dataset.state != DatasetState.VALIDATING}
    for home in stack.homes():
        yield from _of_scratch(home / "scratch", ended)
    yield from _of_processes(stack)


def _of_job(stack: Stack, job: Job, artifacts: list[Artifact]) -> Iterator[str]:
    workers = [process for process in stack.running() if process.name.startswith("worker")]
    if job.state not in TERMINAL_JOB_STATES and not (job.state == JobState.QUEUED and workers):
        yield f"{job.id} is {job.state}, with {len(workers)} workers"
    events = stack.events(job.id)
    successes = sum(event.code == "succeeded" for event in events)
    if successes != (job.state == JobState.SUCCEEDED):
        yield f"{job.id} is {job.state} and has succeeded {successes} times"
    if any(later.epoch < earlier.epoch for earlier, later in pairwise(events)):
        yield f"{job.id}: its epochs go back"
    claims = [event.epoch for event in events if event.code == "claimed"]
    if claims != list(range(1, job.epoch + 1)):
        yield f"{job.id}: attempt {job.epoch}, but it was claimed for {claims}"
    if bool(artifacts) != (job.state == JobState.SUCCEEDED):
        yield f"{job.id} is {job.state} and has {len(artifacts)} artefacts"
    for artifact in artifacts:
        with stack.blobs.open(artifact.storage_key) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        if digest != artifact.sha256 or f"/e{job.epoch}/" not in artifact.storage_key:
            yield f"{artifact.storage_key} is not what was published"


def _of_dataset(dataset: Dataset) -> Iterator[str]:
    is_ready = dataset.state == DatasetState.READY
    if bool(dataset.prepared_key) != is_ready or (dataset.upload_key and is_ready):
        yield f"{dataset.id} is {dataset.state}, with {dataset.prepared_key} made of {dataset.upload_key}"
    if dataset.state != DatasetState.VALIDATING and dataset.source_url and "?" in dataset.source_url:
        yield f"{dataset.id} still holds what is secret in its address"


def _of_blobs(stack: Stack, jobs: list[Job], datasets: list[Dataset], artifacts: list[Artifact]) -> Iterator[str]:
    named = {artifact.storage_key for artifact in artifacts}
    named |= {key for dataset in datasets for key in (dataset.upload_key, dataset.prepared_key) if key}
    named |= {job.checkpoint_key for job in jobs if job.checkpoint_key}
    root = Path(stack.settings.storage.removeprefix("file://"))
    stored = {str(path.relative_to(root)) for path in files_below(root)}
    previews = {preview_key(dataset.prepared_key) for dataset in datasets if dataset.prepared_key}
    yield from (f"the blob {key} belongs to nobody" for key in stored - named - previews)
    yield from (f"the blob {key} is missing" for key in named - stored)


def _of_scratch(scratch: Path, ended: set[str]) -> Iterator[str]:
    for path in (path for kind in ("jobs", "downloads", "images") for path in (scratch / kind).glob("*")):
        if path.name.partition("-")[0] in ended:
            yield f"{path} was left behind"
    for pattern in ("uploads/*", "imports/*"):
        yield from (f"{path} was left behind" for path in scratch.glob(pattern))
    yield from (f"{path} was left behind" for path in files_below(scratch) if path.suffix == ".tmp")


def _of_processes(stack: Stack) -> Iterator[str]:
    running = {process.pid: process for process in stack.running()}
    parents = {}
    for stray in stack.strays():
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends while we look
            parents[stray.pid] = stray.ppid()
    yield from (f"process {pid} is an orphan" for pid, parent in parents.items() if parent not in running)
    for pid, process in running.items():
        if list(parents.values()).count(pid) > 1:
            yield f"{process.name} has more than one child"


def fingerprint(stack: Stack, job_id: str) -> tuple[object, ...]:
    """Everything that a zombie could have changed."""
    job = stack.job(job_id)
    row = tuple(getattr(job, column.key) for column in Job.__table__.columns)
    files = sorted(files_below(Path(stack.settings.storage.removeprefix("file://"))))
    return row, tuple(stack.codes(job_id)), tuple((str(path), sha256_file(path)) for path in files)


class Stopwatch:
    """From the fault to the moment when all is well again, for the table."""

    def __init__(self, record: Callable[[str, object], None]) -> None:
        self._record, self._began = record, time.monotonic()

    def start(self) -> None:
        self._began = time.monotonic()

    def stop(self) -> None:
        self._record("recovered", round(time.monotonic() - self._began, 1))
