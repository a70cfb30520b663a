"""The real training command, at toy size, dies with its supervisor or finds its checkpoints damaged."""

import shutil
import signal
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from checker import Stopwatch, check
from stack import ENDLESS, REAL, TOY, Stack, wait_for

from app.domain.states import JobState
from worker.problems import LOCAL_FILES_LOST

pytestmark = pytest.mark.slow_fault

MOMENTS = {
    "after the claim": {"FAULT_POINT": "claimed"},
    "in data loading": {"FAULT_POINT": "data_loading", "FAULT_VICTIM": "parent"},
    "in stage 1": {"FAULT_POINT": "stage_one:2", "FAULT_VICTIM": "parent"},
    "in stage 2": {"FAULT_POINT": "stage_two:10", "FAULT_VICTIM": "parent"},
    "checkpoint written but not renamed": {"FAULT_POINT": "checkpoint_written", "FAULT_VICTIM": "parent"},
    "checkpoint renamed": {"FAULT_POINT": "checkpoint_renamed", "FAULT_VICTIM": "parent"},
    "checkpoint copied before its row": {"FAULT_POINT": "checkpoint_copied", "TDMR_CHECKPOINT_SECONDS": "0.1"},
    "in export": {"FAULT_POINT": "export", "FAULT_VICTIM": "parent"},
    "before it publishes": {"FAULT_POINT": "trained"},
    "before it finishes": {"FAULT_POINT": "published"},
}
WITH_CHECKPOINT = ("checkpoint renamed", "in export", "before it publishes", "before it finishes")


@pytest.fixture
def slowly(stack: Stack) -> Stack:
    """With a real worker's catalogue."""
    stack.start_api()
    worker = stack.start_worker("a", REAL)
    wait_for(lambda: "resnet10t.glyphs62" in stack.request("GET", "/v1/teachers?limit=100").text)
    worker.kill()
    return stack


@pytest.mark.parametrize("moment", MOMENTS)
def test_fault_row01_the_supervisor_dies(slowly: Stack, dataset: str, stopwatch: Stopwatch, moment: str) -> None:
    stack = slowly
    job_id = stack.submit(dataset_id=dataset, **TOY)

    assert stack.start_worker("a", REAL, **MOMENTS[moment]).wait() == -signal.SIGKILL
    stopwatch.start()
    assert (stack.job(job_id).state, stack.job(job_id).epoch) == (JobState.RUNNING, 1)
    stack.start_worker("a", REAL)

    stack.wait_for_end(job_id)
    stopwatch.stop()
    assert (stack.job(job_id).state, stack.job(job_id).epoch) == (JobState.SUCCEEDED, 2)
    if moment in WITH_CHECKPOINT:
        assert "resumed" in stack.codes(job_id)
    names = {file["name"] for file in stack.request("GET", f"/v1/jobs/{job_id}/artifacts").json()["data"]}
    told = stack.request("GET", f"/v1/jobs/{job_id}/artifacts/manifest.json").json()["files"]
    assert names == {file["name"] for file in told} | {"manifest.json"}
    assert names >= {"student.safetensors", "student.ts", "reprogrammed.safetensors", "evaluation.json"}
    check(stack)


def _truncate(path: Path) -> None:
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size // 2)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_truncate, _flip], ids=lambda function: function.__name__.strip("_"))
def test_fault_row13_the_newest_checkpoint_is_damaged(
    slowly: Stack, dataset: str, stopwatch: Stopwatch, damage: Callable[[Path], None]
) -> None:
    stack = slowly
    job_id = stack.submit(dataset_id=dataset, **ENDLESS)
    progress = 0.0
    for _ in range(2):  # each worker that is told to stop leaves a checkpoint
        worker = stack.start_worker("a", REAL)

        def goes_on(before: float = progress) -> bool:
            job = stack.job(job_id)
            return job.stage == "distill" and job.progress > before

        wait_for(goes_on)
        progress = stack.job(job_id).progress
        assert worker.terminate() == 0
        assert stack.job(job_id).state == JobState.QUEUED
    (folder,) = (
        home / "scratch" / "jobs" / job_id / "out" / "checkpoints"
        for home in stack.homes()
        if (home / "scratch" / "jobs").is_dir()
    )
    older, newest = sorted(folder.glob("*.ckpt"))
    damage(newest)

    stopwatch.start()
    stack.start_worker("a", REAL)
    wait_for(lambda: stack.codes(job_id).count("resumed") == 2)
    stopwatch.stop()

    told = {event.code: event.message for event in stack.events(job_id)}
    assert told["checkpoint_damaged"] == f"Checkpoint {newest.name} is damaged; the one before it is used."
    assert told["resumed"] == f"Resumed at step {int(older.stem)} from a checkpoint."
    assert stack.request("POST", f"/v1/jobs/{job_id}/cancel").status_code == 202
    stack.wait_for_end(job_id)
    check(stack)


@pytest.mark.parametrize("what", ["jobs", "."], ids=["the job's folder", "all of scratch"])
def test_fault_row17_local_files_are_deleted(slowly: Stack, dataset: str, stopwatch: Stopwatch, what: str) -> None:
    stack = slowly
    worker = stack.start_worker("a", REAL, TDMR_CHECKPOINT_SECONDS="0.5")
    job_id = stack.submit(dataset_id=dataset, **ENDLESS)
    wait_for(lambda: any(name.startswith("checkpoints/") for name in _stored(stack, job_id)))

    stopwatch.start()
    shutil.rmtree(_scratch(stack) / what, ignore_errors=True)  # what is written meanwhile may stay

    wait_for(lambda: "resumed" in stack.codes(job_id))
    stopwatch.stop()
    assert [event.message for event in stack.events(job_id) if event.code == "attempt_lost"] == [LOCAL_FILES_LOST]
    assert worker.lives()
    assert stack.request("POST", f"/v1/jobs/{job_id}/cancel").status_code == 202
    stack.wait_for_end(job_id)
    check(stack)


def test_fault_row17_the_cache_is_deleted(slowly: Stack, dataset: str, stopwatch: Stopwatch) -> None:
    """What the job has open stays readable for it; what it misses afterwards would cost it an attempt."""
    stack = slowly
    worker = stack.start_worker("a", REAL)
    job_id = stack.submit(dataset_id=dataset, **TOY)
    wait_for(lambda: stack.job(job_id).stage not in {None, "prepare"})

    stopwatch.start()
    shutil.rmtree(_scratch(stack) / "cache", ignore_errors=True)

    stack.wait_for_end(job_id)
    stopwatch.stop()
    assert stack.job(job_id).state == JobState.SUCCEEDED
    assert worker.lives()
    check(stack)


def _stored(stack: Stack, job_id: str) -> list[str]:
    """The files of the job's output folder that the storage holds."""
    key = stack.job(job_id).checkpoint_key
    if key is None:
        return []
    with stack.blobs.open(key) as file, tarfile.open(fileobj=file, mode="r:gz") as tar:
        return tar.getnames()


def _scratch(stack: Stack) -> Path:
    """Of the one worker's host."""
    (scratch,) = (home / "scratch" for home in stack.homes() if (home / "scratch" / "jobs").is_dir())
    return scratch
