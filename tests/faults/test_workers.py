"""Workers and their children die, freeze, are told to stop, and kill whatever takes them."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from checker import Stopwatch, check, fingerprint
from stack import Stack, is_gone, wait_for

from app.db.queries import jobs as queries
from app.domain.progress import FailureLine
from app.domain.states import JobState
from app.services import leases, reaping


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV], ids=lambda number: number.name)
def test_fault_row02_the_child_dies_alone(
    stack: Stack, dataset: str, stopwatch: Stopwatch, number: signal.Signals
) -> None:
    stack.start_api()
    worker = stack.start_worker()
    stack.hold(1)
    job_id = stack.submit(dataset_id=dataset)
    stack.child(job_id)
    (stack.control / "signal").write_text(str(int(number)))
    stack.let_go()
    stopwatch.start()

    stack.wait_for_end(job_id)

    stopwatch.stop()
    job = stack.job(job_id)
    assert (job.state, job.epoch) == (JobState.SUCCEEDED, 2)
    (lost,) = [event for event in stack.events(job_id) if event.code == "attempt_lost"]
    assert f"was ended by {number.name}" in lost.message
    assert "resumed" in stack.codes(job_id)
    assert worker.lives()
    check(stack)


def test_fault_row02_the_child_is_out_of_gpu_memory(stack: Stack, dataset: str) -> None:
    """As the training command says it, which tests/unit/worker/training/test_failures.py shows."""
    told = FailureLine(code="out_of_memory", detail="The worker ran out of memory.", hint="Use a smaller batch.")
    (stack.control / "failure").write_text(told.model_dump_json())
    stack.start_api()
    stack.start_worker()

    job_id = stack.submit(dataset_id=dataset)
    stack.wait_for_end(job_id)

    job = stack.job(job_id)
    assert (job.state, job.epoch) == (JobState.FAILED, 1)
    assert job.error is not None
    assert (job.error["code"], job.error["hint"]) == ("out_of_memory", told.hint)
    check(stack)


def test_fault_row03_celerys_main_process_is_killed(stack: Stack, dataset: str, stopwatch: Stopwatch) -> None:
    stack.start_api()
    worker = stack.start_worker("a")
    stack.hold(1)
    job_id = stack.submit(dataset_id=dataset)
    child = stack.child(job_id)
    stack.start_worker("a")

    stopwatch.start()
    worker.kill()

    wait_for(lambda: is_gone(child), seconds=10)
    stack.wait_for_end(job_id)
    stopwatch.stop()
    job = stack.job(job_id)
    assert (job.state, job.epoch) == (JobState.SUCCEEDED, 2)
    assert stack.codes(job_id).count("worker_lost") == 1
    check(stack)


@pytest.mark.slow_fault
def test_fault_row08_a_zombie_comes_back(stack: Stack, dataset: str, stopwatch: Stopwatch) -> None:
    stack.start_api()
    zombie = stack.start_worker("a")
    stack.hold(1)
    job_id = stack.submit(dataset_id=dataset)
    child = stack.child(job_id)
    successor = stack.start_worker("a")

    stopwatch.start()
    stack.suspend(zombie)
    stack.wait_for_end(job_id)
    stopwatch.stop()

    assert (stack.job(job_id).state, stack.job(job_id).epoch) == (JobState.SUCCEEDED, 2)
    assert not is_gone(child)
    before = fingerprint(stack, job_id)

    zombie.signal(signal.SIGCONT)

    wait_for(lambda: is_gone(child))
    wait_for(lambda: any("leaving attempt 1" in line for line in zombie.said()))
    assert fingerprint(stack, job_id) == before
    # it is of use again
    assert successor.terminate() == 0
    second = stack.submit(dataset_id=dataset)
    (stack.control / "hold").unlink()
    stack.wait_for_end(second)
    assert stack.job(second).state == JobState.SUCCEEDED
    check(stack)


def test_fault_row12_a_worker_is_told_to_stop(stack: Stack, dataset: str, stopwatch: Stopwatch) -> None:
    stack.start_api()
    first = stack.start_worker("a")
    stack.hold(1)
    job_id = stack.submit(dataset_id=dataset)
    stack.child(job_id)
    stack.start_worker("b")

    stopwatch.start()
    assert first.terminate() == 0

    stack.wait_for_end(job_id)
    stopwatch.stop()
    job = stack.job(job_id)
    assert (job.state, job.epoch) == (JobState.SUCCEEDED, 2)
    codes = stack.codes(job_id)
    assert "worker_stopping" in codes
    assert "worker_lost" not in codes
    (resumed,) = [event for event in stack.events(job_id) if event.code == "resumed"]
    assert resumed.message == "Resumed at step 10 from a checkpoint."
    stack.start_worker("a")  # to tidy up there
    check(stack)


def test_fault_row15_two_reapers_at_once(stack: Stack, dataset: str, stopwatch: Stopwatch) -> None:
    stack.start_api()
    lost = stack.start_worker("a")
    stack.hold(1)
    job_id = stack.submit(dataset_id=dataset)
    stack.child(job_id)
    for _ in range(2):
        stack.start_worker("a", TDMR_RECONCILE_SECONDS="0.05")

    stopwatch.start()
    lost.kill()

    stack.wait_for_end(job_id)
    stopwatch.stop()
    assert (stack.job(job_id).state, stack.job(job_id).epoch) == (JobState.SUCCEEDED, 2)
    assert stack.codes(job_id).count("worker_lost") == 1
    check(stack)


def test_fault_row15_eight_reapers_in_the_same_moment(stack: Stack, dataset: str) -> None:
    stack.start_api()
    job_id = stack.submit(dataset_id=dataset)
    together = threading.Barrier(8)

    def reap(held: queries.Held) -> JobState | None:
        together.wait()
        with stack.store.write() as session:
            return reaping.reap_job(session, held)

    with ThreadPoolExecutor(8) as threads:
        for _ in range(leases.MOST_ATTEMPTS - 1):
            with stack.store.write() as session:
                assert leases.claim_job(session, job_id, "wk_dead") is not None
                (held,) = queries.held_jobs(session)
            outcomes = list(threads.map(reap, [held] * 8))
            assert sorted(map(str, outcomes)) == ["None"] * 7 + ["queued"]
    stack.start_worker()
    stack.wait_for_end(job_id)
    assert (stack.job(job_id).state, stack.job(job_id).epoch) == (JobState.SUCCEEDED, leases.MOST_ATTEMPTS)
    check(stack)


@pytest.mark.slow_fault
def test_fault_row15_no_reaper_for_long(stack: Stack, dataset: str, stopwatch: Stopwatch) -> None:
    """A lost job is found by whoever comes, and a watcher that was away itself takes no living job for lost."""
    stack.start_api()
    worker = stack.start_worker("a")
    stack.hold(1, 2)
    job_id = stack.submit(dataset_id=dataset)
    stack.child(job_id)
    worker.kill()
    lease = float(stack.environment["TDMR_LEASE_SECONDS"])
    stopwatch.start()
    with pytest.raises(AssertionError):
        wait_for(lambda: stack.job(job_id).state != JobState.RUNNING, seconds=2 * lease)

    second = stack.submit(dataset_id=dataset)
    worker = stack.start_worker("a")
    stack.child(second)
    watcher = stack.start_worker("a")
    stack.wait_for_end(job_id)
    stopwatch.stop()
    stack.suspend(watcher)
    with pytest.raises(AssertionError):
        wait_for(lambda: stack.job(second).epoch > 1, seconds=2 * lease)
    watcher.signal(signal.SIGCONT)
    looks = stack.job(second).hb_seq + 10
    wait_for(lambda: stack.job(second).hb_seq > looks)
    stack.let_go()

    stack.wait_for_end(second)
    assert (stack.job(job_id).state, stack.job(job_id).epoch) == (JobState.SUCCEEDED, 2)
    assert (stack.job(second).state, stack.job(second).epoch) == (JobState.SUCCEEDED, 1)
    check(stack)


@pytest.mark.slow_fault
def test_fault_row16_a_poisoned_job_kills_every_worker_at_once(
    stack: Stack, dataset: str, stopwatch: Stopwatch
) -> None:
    # no holder lives longer than a moment, so the lease may be short
    stack.environment |= {"TDMR_HEARTBEAT_SECONDS": "0.2", "TDMR_FENCE_SECONDS": "1", "TDMR_LEASE_SECONDS": "2"}
    stack.start_api()
    job_id = stack.submit(dataset_id=dataset)
    stopwatch.start()

    for _ in range(leases.MOST_ATTEMPTS):  # as a service manager starts it again and again
        assert stack.start_worker(FAULT_POINT="claimed").wait() == -signal.SIGKILL
    assert stack.job(job_id).state == JobState.RUNNING
    last = stack.start_worker(FAULT_POINT="claimed")
    stack.wait_for_end(job_id)

    stopwatch.stop()
    job = stack.job(job_id)
    assert (job.state, job.epoch) == (JobState.FAILED, leases.MOST_ATTEMPTS)
    assert job.error is not None
    assert job.error["code"] == "worker_lost_repeatedly"
    assert last.lives()
    check(stack)


@pytest.mark.slow_fault
def test_fault_row16_a_job_kills_its_workers_when_they_have_stored_its_files(
    stack: Stack, dataset: str, stopwatch: Stopwatch
) -> None:
    stack.start_api()
    job_id = stack.submit(dataset_id=dataset)
    stopwatch.start()

    while stack.job(job_id).state != JobState.FAILED:
        worker = stack.start_worker(FAULT_POINT="published")
        wait_for(lambda worker=worker: not worker.lives() or stack.job(job_id).state == JobState.FAILED)

    stopwatch.stop()
    job = stack.job(job_id)
    assert job.error is not None
    assert job.error["code"] == "worker_lost_repeatedly"
    check(stack)
