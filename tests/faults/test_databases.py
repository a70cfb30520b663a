"""The database stops, freezes or is locked: clients are told to try again, workers fence themselves, no job is lost."""

import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from checker import Stopwatch, check
from servers import Postgres, Redis
from stack import Stack, is_gone, wait_for

from app.domain.states import JobState

LOCKED_SECONDS = 30


@pytest.fixture
def stoppable(make_stack: Callable[..., Stack], own_postgres: Postgres, own_redis: Redis) -> Stack:
    """A production stack on a Postgres of its own."""
    return make_stack(own_postgres.create_database(f"t_{uuid.uuid4().hex}"), own_redis.url)


def is_told_to_retry(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "store_unavailable"
    assert int(answer.headers["Retry-After"]) > 0


def test_fault_row07_postgres_is_stopped_immediately(
    stoppable: Stack, own_postgres: Postgres, prepared: Path, stopwatch: Stopwatch
) -> None:
    stack, dataset = stoppable, stoppable.add_dataset(prepared)
    # the worker does not fence itself before the server is back
    stack.environment |= {"TDMR_FENCE_SECONDS": "100", "TDMR_LEASE_SECONDS": "120"}
    stack.start_api()
    stack.start_worker()
    stack.hold(1)
    job_id = stack.submit(dataset_id=dataset)
    child = stack.child(job_id)

    own_postgres.stop_immediately()

    for _ in range(3):
        is_told_to_retry(stack.request("GET", f"/v1/jobs/{job_id}"))
        is_told_to_retry(stack.post_job(dataset_id=dataset, key="once"))
    assert stack.request("GET", "/healthz").status_code == 200
    assert stack.request("GET", "/readyz").status_code == 503
    own_postgres.start()
    stopwatch.start()
    assert stack.request("GET", f"/v1/jobs/{job_id}").status_code == 200  # at once: no broken connection is handed out
    second = stack.submit(dataset_id=dataset, key="once")
    assert not is_gone(child)
    stack.let_go()
    stack.wait_for_end(job_id, second)
    stopwatch.stop()
    assert {(stack.job(one).state, stack.job(one).epoch) for one in (job_id, second)} == {(JobState.SUCCEEDED, 1)}
    check(stack)


@pytest.mark.slow_fault
def test_fault_row07_postgres_freezes_for_longer_than_the_lease(
    stoppable: Stack, own_postgres: Postgres, prepared: Path, stopwatch: Stopwatch
) -> None:
    stack, dataset = stoppable, stoppable.add_dataset(prepared)
    stack.environment |= {"TDMR_REQUEST_SECONDS": "2", "TDMR_CHECKPOINT_SECONDS": "0.1"}
    stack.start_api()
    worker = stack.start_worker()
    stack.hold(1)
    job_id = stack.submit(dataset_id=dataset)
    child = stack.child(job_id)
    lease = float(stack.environment["TDMR_LEASE_SECONDS"])
    began = time.monotonic()

    own_postgres.freeze()

    # more requests than the API has threads and connections
    answers = _at_once(60, lambda: stack.request("GET", f"/v1/jobs/{job_id}"))
    for answer in answers:
        is_told_to_retry(answer)
    is_told_to_retry(stack.post_job(dataset_id=dataset, key="once"))
    assert stack.request("GET", "/healthz").status_code == 200
    wait_for(lambda: is_gone(child))  # the worker has fenced itself
    stack.let_go()
    wait_for(lambda: time.monotonic() - began > 2 * lease)
    own_postgres.thaw()
    stopwatch.start()

    wait_for(lambda: stack.request("GET", f"/v1/jobs/{job_id}").status_code == 200)
    answers = _at_once(60, lambda: stack.request("GET", f"/v1/jobs/{job_id}"))
    assert {answer.status_code for answer in answers} == {200}  # no thread and no connection is lost
    second = stack.submit(dataset_id=dataset, key="once")
    stack.wait_for_end(job_id, second)
    stopwatch.stop()
    job = stack.job(job_id)
    assert (job.state, job.epoch) == (JobState.SUCCEEDED, 2)
    assert len(stack.job_ids()) == 2
    assert worker.lives()
    check(stack)


@pytest.mark.slow_fault
def test_fault_row14_sqlite_is_locked_by_another_process(embedded: Stack, prepared: Path, stopwatch: Stopwatch) -> None:
    stack, dataset = embedded, embedded.add_dataset(prepared)
    # as they are by default
    stack.environment |= {"TDMR_FENCE_SECONDS": "45", "TDMR_LEASE_SECONDS": "60"}
    stack.start_api()
    stack.start_worker()
    stack.hold(1)
    job_id = stack.submit(dataset_id=dataset)
    child = stack.child(job_id)

    with closing(sqlite3.connect(stack.home / "tdmr.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        is_told_to_retry(stack.post_job(dataset_id=dataset, key="once"))
        assert stack.request("GET", f"/v1/jobs/{job_id}").json()["state"] == "running"  # readers wait for nobody
        wait_for(lambda: time.monotonic() - began > LOCKED_SECONDS)
        other.execute("ROLLBACK")

    stopwatch.start()
    second = stack.submit(dataset_id=dataset, key="once")
    assert not is_gone(child)
    stack.let_go()
    stack.wait_for_end(job_id, second)
    stopwatch.stop()
    assert {(stack.job(one).state, stack.job(one).epoch) for one in (job_id, second)} == {(JobState.SUCCEEDED, 1)}
    assert len(stack.job_ids()) == 2
    check(stack)


def _at_once(count: int, request: Callable[[], httpx.Response]) -> list[httpx.Response]:
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(request())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == count
    return answers
