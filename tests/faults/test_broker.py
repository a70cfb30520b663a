"""Redis answers with errors: it is full, read-only, wants a password, loads its file, or a replica takes its place."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
from checker import Stopwatch, check
from servers import Redis, running
from stack import Process, Stack, wait_for

from app.domain.states import JobState
from worker.liveness import EXIT_DEAF


@contextmanager
def is_full(server: Redis, _: ExitStack) -> Iterator[None]:
    server.client.config_set("maxmemory", 1)
    yield
    server.client.config_set("maxmemory", 0)


@contextmanager
def is_read_only(server: Redis, _: ExitStack) -> Iterator[None]:
    server.client.replicaof("127.0.0.1", 1)
    yield
    server.client.replicaof("no", "one")


@contextmanager
def wants_a_password(server: Redis, _: ExitStack) -> Iterator[None]:
    server.client.config_set("requirepass", "secret")
    server.client.client_kill_filter(_type="normal", skipme=True)
    yield
    server.client.config_set("requirepass", "")


@contextmanager
def is_loading(server: Redis, _: ExitStack) -> Iterator[None]:
    """It reads 500 keys from its file and answers after each, for 50 s if nobody ends it."""
    server.client.mset({f"filler {i}": "x" * 2048 for i in range(500)})
    for option, value in {"rdbcompression": "no", "loading-process-events-interval-bytes": 1024}.items():
        server.client.config_set(option, value)
    server.client.config_set("key-load-delay", 100_000)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"DEBUG RELOAD\r\n")
        wait_for(lambda: _says_loading(server))
        yield
        server.client.config_set("key-load-delay", 0)
        assert connection.recv(100) == b"+OK\r\n"


def _says_loading(server: Redis) -> bool:
    try:
        server.client.get("filler 0")
    except redis.BusyLoadingError:
        return True
    return False


@contextmanager
def fails_over(server: Redis, lasting: ExitStack) -> Iterator[None]:
    """The primary is gone; a while later its replica answers at its address."""
    replica = Redis(server.folder / "replica")
    lasting.enter_context(running(replica))
    replica.client.replicaof("127.0.0.1", server.port)
    wait_for(lambda: replica.client.info("replication")["master_link_status"] == "up")
    server.destroy()
    replica.client.replicaof("no", "one")
    yield
    replica.client.config_set("port", server.port)


FAULTS = {
    "is full": is_full,
    "is read-only": is_read_only,
    "wants a password": wants_a_password,
    "is loading": is_loading,
    "fails over": fails_over,
}


@pytest.mark.parametrize(
    "fault",
    [pytest.param(name, marks=pytest.mark.slow_fault if name == "is loading" else ()) for name in FAULTS],
)
def test_fault_row06_redis_refuses_a_busy_worker(
    production: Stack, own_redis: Redis, prepared: Path, stopwatch: Stopwatch, fault: str
) -> None:
    stack, dataset = production, production.add_dataset(prepared)
    stack.start_api()
    worker = stack.start_worker()
    stack.hold(1)
    running_job = stack.submit(dataset_id=dataset)
    stack.child(running_job)

    with ExitStack() as lasting:
        with FAULTS[fault](own_redis, lasting):
            during = stack.submit(dataset_id=dataset)
            unready = stack.request("GET", "/readyz")
            assert (unready.status_code, "Unavailable: broker." in unready.text) == (503, True)
            stack.let_go()
            stack.wait_for_end(running_job)
            wait_for(lambda: bool(outages(worker)) or not worker.lives())
        stopwatch.start()
        stack.wait_for_end(during)
        stopwatch.stop()
        wait_for(lambda: any("back" in said for said in worker.said()))
        after = stack.submit(dataset_id=dataset)
        stack.wait_for_end(after)

        jobs = [stack.job(job_id) for job_id in (running_job, during, after)]
        assert {(job.state, job.epoch) for job in jobs} == {(JobState.SUCCEEDED, 1)}
        assert worker.lives()
        assert len(outages(worker)) == len(set(outages(worker)))
        assert complaints(worker) == []
        assert warnings_of_libraries(worker) == []
        check(stack)


def test_fault_row06_a_deaf_worker_leaves(
    production: Stack, own_redis: Redis, prepared: Path, stopwatch: Stopwatch
) -> None:
    """It is idle and messages wait, which it is no longer allowed to take; the account of the others is not touched."""
    stack, dataset = production, production.add_dataset(prepared)
    stack.start_api()
    worker = stack.start_worker()
    stack.wait_for_end(stack.submit(dataset_id=dataset))
    own_redis.client.execute_command("ACL", "SETUSER", "default", "-brpop")
    own_redis.client.client_kill_filter(_type="normal", skipme=True)  # a BRPOP that waits already would be served
    waiting = stack.submit(dataset_id=dataset)

    stopwatch.start()
    assert worker.wait() == EXIT_DEAF

    assert any("this idle worker took none" in said for said in worker.said())
    assert len(outages(worker)) == 1
    assert warnings_of_libraries(worker) == []
    own_redis.client.execute_command("ACL", "SETUSER", "default", "+brpop")
    stack.start_worker()
    wait_for(lambda: stack.job(waiting).state == JobState.SUCCEEDED)
    stopwatch.stop()
    assert (stack.job(waiting).state, stack.job(waiting).epoch) == (JobState.SUCCEEDED, 1)
    check(stack)


def outages(worker: Process) -> list[str]:
    """What the worker says of a broker that is away, by what it does not do meanwhile."""
    return [said.partition(":")[0] for said in worker.said() if said.startswith("The broker is away")]


def warnings_of_libraries(worker: Process) -> list[str]:
    """One each second of an outage would bury the line that says it."""
    return [said for said in worker.said() if "Warning: " in said]


def complaints(worker: Process) -> list[str]:
    """Log lines that ask for a person, and whatever is no log line."""
    lines = worker.log.read_text().splitlines()
    entries = [json.loads(line) if line.startswith("{") else {"level": "error", "message": line} for line in lines]
    return [str(entry) for entry in entries if entry["level"] in {"error", "critical"} or "exception" in entry]
