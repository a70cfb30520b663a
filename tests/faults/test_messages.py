"""Messages are lost, doubled and delayed: the API dies before it sends, Redis forgets, freezes and is full."""

import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import redis
from checker import Stopwatch, check
from servers import Redis
from stack import Stack, wait_for

from app.domain.states import JobState
from app.queue import TRAIN_TASK, TRAINING_QUEUE, send, waiting_messages

TIMES = 100


def test_fault_row04_the_api_dies_between_commit_and_send(stack: Stack, dataset: str, stopwatch: Stopwatch) -> None:
    stack.start_worker()
    api = stack.start_api(FAULT_POINT="committed")

    with pytest.raises(httpx.TransportError):
        stack.submit(dataset_id=dataset, key="once")
    stopwatch.start()
    assert api.wait() == -signal.SIGKILL

    (job_id,) = stack.job_ids()
    stack.wait_for_end(job_id)
    stopwatch.stop()
    stack.start_api()
    answer = stack.post_job(dataset_id=dataset, key="once")
    assert (answer.status_code, answer.json()["id"]) == (202, job_id)
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert stack.job_ids() == [job_id]
    assert (stack.job(job_id).state, stack.job(job_id).epoch) == (JobState.SUCCEEDED, 1)
    check(stack)


def test_fault_row05_the_same_job_sent_a_hundred_times(stack: Stack, dataset: str) -> None:
    stack.start_api()
    job_id = stack.submit(dataset_id=dataset)
    for _ in range(TIMES):
        send(stack.celery, TRAIN_TASK, job_id)
    assert waiting_messages(stack.celery, TRAINING_QUEUE) >= TIMES

    stack.start_worker()
    stack.start_worker()

    stack.wait_for_end(job_id)
    wait_for(lambda: waiting_messages(stack.celery, TRAINING_QUEUE) == 0)
    assert (stack.job(job_id).state, stack.job(job_id).epoch) == (JobState.SUCCEEDED, 1)
    check(stack)


def _is_killed(server: Redis, _: Callable[[], None]) -> None:
    server.destroy()
    server.start()


def _is_flushed(server: Redis, _: Callable[[], None]) -> None:
    server.client.flushall()


def _freezes(server: Redis, meanwhile: Callable[[], None]) -> None:
    server.freeze()
    meanwhile()
    with pytest.raises(AssertionError):
        wait_for(lambda: _answers(server), seconds=40)
    server.thaw()


def _answers(server: Redis) -> bool:
    try:
        return bool(server.client.ping())
    except redis.RedisError:
        return False


def _is_full(server: Redis, meanwhile: Callable[[], None]) -> None:
    """`noeviction` is Redis' own default."""
    server.client.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        server.client.set("key", "value")
    meanwhile()
    server.client.config_set("maxmemory", 0)


def _is_away(server: Redis, meanwhile: Callable[[], None]) -> None:
    server.destroy()
    meanwhile()
    server.start()


@pytest.mark.parametrize(
    "happens",
    [_is_killed, _is_away, _is_flushed, _is_full, pytest.param(_freezes, marks=pytest.mark.slow_fault)],
    ids=lambda function: function.__name__.strip("_").replace("_", " "),
)
def test_fault_row06_redis(
    production: Stack,
    own_redis: Redis,
    prepared: Path,
    stopwatch: Stopwatch,
    happens: Callable[[Redis, Callable[[], None]], None],
) -> None:
    stack, dataset = production, production.add_dataset(prepared)
    stack.start_api()
    stack.start_worker()
    stack.hold(1)
    running = stack.submit(dataset_id=dataset)
    child = stack.child(running)
    before = [stack.submit(dataset_id=dataset) for _ in range(3)]
    during: list[str] = []

    happens(own_redis, lambda: during.append(stack.submit(dataset_id=dataset)))

    stopwatch.start()
    after = stack.submit(dataset_id=dataset)
    assert stack.child(running) == child
    assert stack.job(running).epoch == 1
    stack.let_go()
    every = [running, *before, *during, after]
    stack.wait_for_end(*every)
    stopwatch.stop()
    assert {(stack.job(job_id).state, stack.job(job_id).epoch) for job_id in every} == {(JobState.SUCCEEDED, 1)}
    assert all(process.lives() for process in stack.processes)
    check(stack)
