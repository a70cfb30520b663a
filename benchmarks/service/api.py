"""The API under load: `python -m benchmarks.service.api`.

A real service process on a Postgres with 100,000 jobs. In each round every kind of request has its turn, alone; then
pollers follow the events of running jobs while these are written. The short paths and `?wait=` stand beside what they
are compared with. What counts are ratios to `/healthz` within a round: other work on the machine slows both alike.
CPU time is the service's own, without the database's. Needs a Postgres and, for the messages, a Redis; `wrk` where it
is installed.
"""

import argparse
import asyncio
import importlib.metadata
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import redis
from sqlalchemy import func, select, update

from app.cli.common import read_url
from app.db.engine import Store
from app.db.models import Job, JobEvent
from app.db.queries.claims import Claim
from app.domain.progress import EventLine
from app.domain.states import JobState
from app.queue import TRAINING_QUEUE
from app.services import leases
from app.settings import Settings
from benchmarks import RESULTS
from benchmarks.common.table import markdown
from benchmarks.common.training import machine_name
from benchmarks.service.api_clients import Address, Connection, Followed, follow, measure, request
from benchmarks.service.api_store import STUDENT, TEACHER, Filled, fill, schema

CONNECTIONS = 16
POLL_SECONDS = 1.0
EVENTS_PER_SECOND = 50
"""Written while pollers follow, spread over their jobs."""
SAMPLE = 200
"""Different objects that requests of one kind ask for."""
HEALTH = "GET /healthz"

Line = dict[str, Any]


def main() -> int:
    options = _options()
    with (
        schema(options.postgres) as database_url,
        tempfile.TemporaryDirectory() as home,
        _emptied_afterwards(options.redis),
    ):
        settings = Settings(home=Path(home), database_url=database_url, broker_url=options.redis, api_key=None)
        store = Store(database_url)
        began = time.monotonic()
        filled = fill(store, options.jobs)
        print(f"{options.jobs:,} jobs were written in {time.monotonic() - began:.0f} s", flush=True)
        with _service(settings) as (address, service):
            kinds = asyncio.run(_kinds(address, filled))
            rounds = []
            for number in range(options.rounds):
                found = _round(address, service, store, kinds, options)
                print(f"round {number}: " + ", ".join(f"{name} {at['per_second']:.0f}/s" for name, at in found.items()))
                rounds.append(found)
            followed = _followed(address, store, filled.running[: options.pollers], options.poll_seconds)
        store.close()
    line = _line(options, rounds, followed)
    with options.results.open("a") as results:
        results.write(json.dumps(line) + "\n")
    print(table(line))
    return 0


def table(line: Line) -> str:
    """A run's medians over its rounds."""
    rows = []
    for name in line["rounds"][0]:
        figures = [found[name] for found in line["rounds"]]
        median = {
            key: statistics.median(at[key] for at in figures) for key in ("per_second", "p50_ms", "p99_ms", "cpu_ms")
        }
        ratio = "" if name == HEALTH else f"{ratio_of(line, name):.2f}"
        rate, cpu = f"{median['per_second']:,.0f}", f"{median['cpu_ms']:.2f} ms"
        rows.append([name, rate, f"{median['p50_ms']:.0f} ms", f"{median['p99_ms']:.0f} ms", cpu, ratio])
    polls = line["pollers"]
    what = f"{polls['count']} pollers, {polls['lost']} of {polls['events']:,} events lost"
    rows.append([what, f"{polls['per_second']:,.0f}", f"{polls['p50_ms']:.0f} ms", f"{polls['p99_ms']:.0f} ms", "", ""])
    return markdown(["request", "answers/s", "p50", "p99", "CPU each", f"of `{HEALTH}`"], rows)


def ratio_of(line: Line, name: str) -> float:
    """Median over the rounds of a request's rate, as a part of that of `/healthz` in the same round."""
    return statistics.median(found[name]["per_second"] / found[HEALTH]["per_second"] for found in line["rounds"])


async def _kinds(address: Address, filled: Filled) -> dict[str, list[bytes]]:
    """What is asked, by its name."""
    ended, queued = _spread(filled.ended), _spread(filled.queued)
    spec = {"dataset_id": filled.dataset_id, "teacher": TEACHER, "student": STUDENT}
    connection = Connection(address)
    unchanged = []
    for job_id in ended:
        etag = (await connection.ask(request("GET", f"/v1/jobs/{job_id}"))).headers["etag"]
        unchanged.append(request("GET", f"/v1/jobs/{job_id}", {"If-None-Match": etag}))
    connection.close()
    return {
        HEALTH: [request("GET", "/healthz")],
        "GET a job": [request("GET", f"/v1/jobs/{job_id}") for job_id in ended],
        "GET a queued job": [request("GET", f"/v1/jobs/{job_id}") for job_id in queued],
        "GET a job, 304": unchanged,
        "GET a job, short path": [request("GET", f"/jobs/{job_id}") for job_id in ended],
        # answered at once: what asking for a change costs beyond reading the job
        "GET a job, ?wait=": [request("GET", f"/v1/jobs/{job_id}?wait=30") for job_id in ended],
        "GET 20 jobs": [request("GET", f"/v1/jobs?after={job_id}") for job_id in ended],
        "POST a job": [request("POST", "/v1/jobs", body=spec)],
        "POST a job, short path": [request("POST", "/jobs", body=spec)],
        "GET 20 students": [request("GET", "/v1/students?max_params=5M&sort=-parameters")],
        "GET the document": [request("GET", "/openapi.json")],
        "GET events": [request("GET", f"/v1/jobs/{job_id}/events") for job_id in ended],
    }


def _spread(ids: Sequence[str]) -> list[str]:
    return list(ids[:: max(1, len(ids) // SAMPLE)])


def _round(
    address: Address,
    service: psutil.Process,
    store: Store,
    kinds: Mapping[str, Sequence[bytes]],
    options: argparse.Namespace,
) -> Line:
    found, wrk = {}, shutil.which("wrk") is not None
    with store.read() as session:
        newest = session.scalar(select(func.max(Job.id)))
    for name, requests in kinds.items():
        before = service.cpu_times()
        load = measure(address, requests, seconds=options.seconds, connections=CONNECTIONS, wrk=wrk)
        after = service.cpu_times()
        if load.failed:
            raise RuntimeError(f"{load.failed} requests failed: {name}")
        spent = after.user + after.system - before.user - before.system
        found[name] = load.line | {"cpu_ms": round(1000 * spent / max(1, load.per_second * load.seconds), 3)}
        with store.write() as session:  # or the queue would grow from round to round
            session.execute(update(Job).where(Job.id > newest).values(state=JobState.CANCELLED))
    return found


def _followed(address: Address, store: Store, job_ids: Sequence[str], seconds: float) -> Line:
    """Follow jobs while a process writes their events, as their workers would."""
    with store.read() as session:
        count = select(JobEvent.job_id, func.count()).where(JobEvent.job_id.in_(job_ids)).group_by(JobEvent.job_id)
        written: dict[str, int] = dict(tuple(row) for row in session.execute(count))
    url = store.engine.url.render_as_string(hide_password=False)
    writer = multiprocessing.get_context("spawn").Process(target=_write_events, args=(url, list(job_ids), seconds))

    async def run() -> Followed:
        ended = asyncio.Event()
        writer.start()

        async def wait() -> None:
            await asyncio.to_thread(writer.join)
            if writer.exitcode != 0:
                raise RuntimeError("the events could not be written")
            with store.read() as session:
                written.update(tuple(row) for row in session.execute(count))
            ended.set()

        waiting = asyncio.create_task(wait())
        seen = await follow(address, written, every=POLL_SECONDS, until=ended)
        await waiting
        return seen

    before = sum(written.values())
    seen = asyncio.run(run())
    return {"count": len(job_ids), "events": sum(written.values()) - before, "lost": seen.lost} | seen.polls.line


def _write_events(url: str, job_ids: Sequence[str], seconds: float) -> None:
    store = Store(url)
    began = time.monotonic()
    number = 0
    while (now := time.monotonic() - began) < seconds:
        if number > now * EVENTS_PER_SECOND:
            time.sleep(1 / EVENTS_PER_SECOND)
            continue
        event = EventLine(code="bench", message=f"Event {number}.")
        with store.write() as session:
            assert leases.record(session, Claim(job_ids[number % len(job_ids)], 1), events=[event])
        number += 1
    store.close()


@contextmanager
def _service(settings: Settings) -> Iterator[tuple[Address, psutil.Process]]:
    """A process that serves the API."""
    environment = {
        **os.environ,
        "TDMR_HOME": str(settings.root),
        "TDMR_DATABASE_URL": settings.database_url,
        "TDMR_BROKER_URL": settings.broker_url,
    }
    with (settings.root / "api.log").open("wb") as log:
        command = [sys.executable, "-m", "app.cli", "api", "--port=0"]
        process = subprocess.Popen(command, env=environment, stderr=log)
        try:
            while (url := read_url(settings)) is None:
                if process.poll() is not None:
                    raise RuntimeError(f"the service did not start:\n{(settings.root / 'api.log').read_text()}")
                time.sleep(0.1)
            parts = urlsplit(url)
            assert parts.hostname is not None and parts.port is not None
            yield Address(parts.hostname, parts.port), psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()


@contextmanager
def _emptied_afterwards(broker_url: str) -> Iterator[None]:
    """The messages for workers that are not there."""
    try:
        yield
    finally:
        with redis.Redis.from_url(broker_url) as client:
            client.delete(TRAINING_QUEUE)


def _line(options: argparse.Namespace, rounds: list[Line], followed: Line) -> Line:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine_name(),
        "load_average": os.getloadavg()[0],
        "versions": {
            name: importlib.metadata.version(name) for name in ("fastapi", "sqlalchemy", "uvicorn", "psycopg")
        },
        "client": "wrk" if shutil.which("wrk") else "asyncio",
        "connections": CONNECTIONS,
        "jobs": options.jobs,
        "seconds": options.seconds,
        "rounds": rounds,
        "pollers": followed,
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    postgres = os.environ.get("TDMR_TEST_POSTGRES_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test")
    parser.add_argument("--postgres", default=postgres, help="a database to make a schema in [%(default)s]")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379/7", help="a database of its own [%(default)s]")
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="of each kind of request in each round [%(default)s]"
    )
    parser.add_argument("--pollers", type=int, default=200)
    parser.add_argument("--poll-seconds", type=float, default=30.0, help="for which events are written [%(default)s]")
    parser.add_argument("--results", type=Path, default=RESULTS / "api.jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
