"""Disks are full: under an upload, a checkpoint, a database. Each disk is a small one of the test's own, in memory."""

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from checker import Stopwatch, check
from servers import Postgres, Redis, postgres_folder, running
from stack import ENDLESS, REAL, Stack, wait_for

from app.domain.states import JobState


@contextmanager
def disk(folder: Path, megabytes: int, owner: str = "root") -> Iterator[Path]:
    folder.mkdir(parents=True)
    size = f"size={megabytes}m,mode=700,uid={owner}"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte free; gives the file to delete."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while file.write(b"\0" * size) == size:
                    pass
            except OSError:
                continue
    return ballast


def upload(stack: Stack, megabytes: int) -> int:
    content = os.urandom(2**20) * megabytes
    return stack.request("POST", "/v1/datasets", files={"file": ("a.zip", content, "application/zip")}).status_code


@pytest.mark.parametrize("where", ["scratch", "storage"])
def test_fault_row09_the_disk_is_full_in_an_upload(stack: Stack, dataset: str, tmp_path: Path, where: str) -> None:
    folder = stack.home / "scratch" if where == "scratch" else tmp_path / "blobs" / "uploads"
    with disk(folder, megabytes=4) as small:
        stack.start_api()

        assert upload(stack, megabytes=8) == 507

        assert [path for path in small.rglob("*") if path.is_file()] == []
        assert stack.request("GET", "/v1/datasets").json()["data"][0]["id"] == dataset
        assert len(stack.request("GET", "/v1/datasets").json()["data"]) == 1
        assert upload(stack, megabytes=1) == 202


@pytest.mark.slow_fault
def test_fault_row09_the_disk_is_full_in_a_checkpoint(stack: Stack, dataset: str, stopwatch: Stopwatch) -> None:
    """The real training command, whose worker has a small disk; the storage is elsewhere."""
    host = stack.home if stack.one_home else stack.folder / "host-a"
    with disk(host / "scratch" / "jobs", megabytes=32) as small:
        stack.start_api()
        worker = stack.start_worker("a", REAL)
        wait_for(lambda: "resnet10t.glyphs62" in stack.request("GET", "/v1/teachers?limit=100").text)
        job_id = stack.submit(dataset_id=dataset, **ENDLESS)
        wait_for(lambda: stack.job(job_id).stage == "distill")
        assert worker.terminate() == 0  # leaves a checkpoint
        (kept,) = small.rglob("*.ckpt")
        step = int(kept.stem)
        stack.start_worker("a", REAL, TDMR_CHECKPOINT_SECONDS="5")
        wait_for(lambda: "resumed" in stack.codes(job_id))
        ballast = fill(small)

        stack.wait_for_end(job_id)

        job = stack.job(job_id)
        assert (job.state, job.epoch) == (JobState.FAILED, 2)
        assert job.error is not None
        assert job.error["code"] == "disk_full"
        ballast.unlink()
        stopwatch.start()
        answer = stack.request("POST", f"/v1/jobs/{job_id}/retry")
        assert answer.status_code == 202
        retried = answer.json()["id"]
        wait_for(lambda: "resumed" in stack.codes(retried))
        stopwatch.stop()
        (resumed,) = [event for event in stack.events(retried) if event.code == "resumed"]
        assert int(resumed.message.split()[3]) >= step  # what was copied last, or what the first worker has left
        assert "checkpoint_damaged" not in stack.codes(retried)
        assert stack.request("POST", f"/v1/jobs/{retried}/cancel").status_code == 202
        stack.wait_for_end(retried)
        check(stack)


def database_is_full(stack: Stack, small: Path, dataset: str, stopwatch: Stopwatch) -> None:
    stack.start_api()
    before = stack.submit(dataset_id=dataset)
    ballast = fill(small)
    answers = [
        stack.post_job(dataset_id=dataset, metadata={f"note {i}": "x" * 200 for i in range(8)}) for _ in range(40)
    ]
    refused = [answer for answer in answers if answer.status_code != 202]
    assert refused, "the disk was not full"
    for answer in refused:
        assert answer.status_code == 503
        assert answer.json()["code"] == "store_unavailable"
        assert int(answer.headers["Retry-After"]) > 0
    ballast.unlink()
    stopwatch.start()
    after = stack.submit(dataset_id=dataset)
    stack.start_worker()
    stack.wait_for_end(*stack.acknowledged)
    stopwatch.stop()
    assert stack.job(before).state == stack.job(after).state == JobState.SUCCEEDED
    assert len(stack.job_ids()) == len(stack.acknowledged)
    check(stack)


def test_fault_row09_the_disk_of_embedded_sqlite_is_full(
    make_stack: Callable[..., Stack], prepared: Path, tmp_path: Path, stopwatch: Stopwatch
) -> None:
    with disk(tmp_path / "stack" / "home", megabytes=4) as small:
        stack = make_stack()
        database_is_full(stack, small, stack.add_dataset(prepared), stopwatch)
        stack.close()


@pytest.mark.slow_fault
def test_fault_row09_the_disk_of_postgres_is_full(
    make_stack: Callable[..., Stack], own_redis: Redis, prepared: Path, stopwatch: Stopwatch
) -> None:
    with postgres_folder() as parent, disk(parent / "disk", megabytes=96, owner="postgres") as small:
        server = Postgres(small)
        with running(server):
            stack = make_stack(server.create_database(f"t_{uuid.uuid4().hex}"), own_redis.url)
            database_is_full(stack, small, stack.add_dataset(prepared), stopwatch)
            stack.close()
