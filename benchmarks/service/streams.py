"""What live streams cost and how late they are: `python -m benchmarks.service.streams [--database URL]`.

One API process. First it holds `--idle` streams of as many queued jobs, and says what they took: memory, threads,
descriptors, CPU at rest, and on Postgres the connections. Then `--followers` clients follow one running job while a
writer commits its progress as a worker does, `--writes` times, once in `--pause` seconds; each client notes how long
after the commit each point of the curves arrives. A second client asks for `/healthz` meanwhile.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import psutil
from sqlalchemy import text

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import Dataset, Job
from app.domain.progress import MetricLine
from app.domain.spec import JobSpec
from app.domain.states import DatasetState, Stage
from app.services import leases
from benchmarks.common.table import markdown
from benchmarks.service.api_process import ApiProcess

LIVE = {"Accept": "text/event-stream"}
SETTLE_SECONDS = 5.0
"""Each new stream reads once more after the first look for changes."""
REST_SECONDS = 20.0
HEALTH_SECONDS = 0.05


def queue_jobs(store: Store, count: int) -> list[str]:
    """Ids of jobs that wait, as `POST /v1/jobs` leaves them."""
    dataset_id = new_id("ds")
    spec = JobSpec(dataset_id=dataset_id, student="resnet18", method="scratch").model_dump(mode="json")
    ids = [new_id("job") for _ in range(count)]
    with store.write() as session:
        dataset = Dataset(id=dataset_id, name="a.zip", bytes=1, sha256="0" * 64, state=DatasetState.READY)
        dataset.prepared_key = "a"
        session.add(dataset)
        session.add_all(Job(id=job_id, dataset_id=dataset_id, spec=spec) for job_id in ids)
    return ids


async def hold(http: httpx.AsyncClient, job_id: str, connected: asyncio.Semaphore) -> None:
    """Follow a job and say once that its first words have come."""
    async with http.stream("GET", f"/v1/jobs/{job_id}/events", headers=LIVE) as answer:
        async for line in answer.aiter_lines():
            if line == "event: progress":
                connected.release()


async def follow(http: httpx.AsyncClient, job_id: str, arrived: dict[int, float], begun: asyncio.Semaphore) -> None:
    """When each step's point arrived; returns at the end of the stream."""
    async with http.stream("GET", f"/v1/jobs/{job_id}/events", headers=LIVE) as answer:
        event = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
                if event == "progress":
                    begun.release()
            elif line.startswith("data: ") and event == "metrics":
                for point in json.loads(line.removeprefix("data: "))["points"]:
                    arrived[point["step"]] = time.monotonic()


async def ask_for_health(http: httpx.AsyncClient, seconds: list[float]) -> None:
    while True:
        began = time.monotonic()
        (await http.get("/healthz")).raise_for_status()
        seconds.append(time.monotonic() - began)
        await asyncio.sleep(HEALTH_SECONDS)


async def measure_idle(api: ApiProcess, store: Store, http: httpx.AsyncClient, count: int) -> dict[str, str]:
    assert api.process is not None
    jobs = queue_jobs(store, count)
    before = _held(api.process, store)
    connected = asyncio.Semaphore(0)
    holders = [asyncio.create_task(hold(http, job_id, connected)) for job_id in jobs]
    for _ in jobs:
        await connected.acquire()
    await asyncio.sleep(SETTLE_SECONDS)
    during, began = _held(api.process, store), api.cpu_seconds()
    await asyncio.sleep(REST_SECONDS)
    cpu = (api.cpu_seconds() - began) / REST_SECONDS
    for holder in holders:
        holder.cancel()
    await asyncio.gather(*holders, return_exceptions=True)
    row = {name: f"{before[name]:,} → {during[name]:,}" for name in before}
    return {"idle streams": f"{count:,}", **row, "CPU at rest": f"{cpu:.1%} of a core"}


async def measure_delay(
    api: ApiProcess, store: Store, http: httpx.AsyncClient, followers: int, writes: int, pause: float
) -> dict[str, str]:
    (job_id,) = queue_jobs(store, 1)
    with store.write() as session:
        claim = leases.claim_job(session, job_id, "wk_1")
    assert claim is not None
    begun, arrivals = asyncio.Semaphore(0), [dict[int, float]() for _ in range(followers)]
    tasks = [asyncio.create_task(follow(http, job_id, arrived, begun)) for arrived in arrivals]
    for _ in tasks:
        await begun.acquire()
    health: list[float] = []
    asking = asyncio.create_task(ask_for_health(http, health))
    committed, cpu = {}, api.cpu_seconds()

    def write(step: int) -> None:
        with store.write() as session:
            line = MetricLine(stage=Stage.DISTILL, step=step, values={"loss": 1.0 / step, "kd": 0.5})
            assert leases.record(session, claim, stage=Stage.DISTILL, progress=step / writes, points=[line])

    for step in range(1, writes + 1):
        await asyncio.to_thread(write, step)
        committed[step] = time.monotonic()
        await asyncio.sleep(pause)
    cpu = (api.cpu_seconds() - cpu) / (writes * pause)
    with store.write() as session:
        assert leases.finish_job(session, claim, [], None, {})
    await asyncio.gather(*tasks)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    delays = [max(0.0, arrived[step] - committed[step]) for arrived in arrivals for step in committed]
    return {
        "followers of one job": f"{followers:,}",
        "points lost": str(sum(step not in arrived for arrived in arrivals for step in committed)),
        "commit to client, p50": _milliseconds(delays, 50),
        "p99": _milliseconds(delays, 99),
        "CPU": f"{cpu:.0%} of a core",
        "`/healthz` p50": _milliseconds(health, 50),
        "`/healthz` p99": _milliseconds(health, 99),
    }


def _held(process: psutil.Process, store: Store) -> dict[str, int]:
    held = {
        "memory, MB": round(process.memory_info().rss / 1e6),
        "threads": process.num_threads(),
        "descriptors": process.num_fds(),
    }
    if store.engine.dialect.name == "postgresql":
        with store.read() as session:
            asked = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            held["connections"] = int(session.scalar(asked) or 0)
    return held


def _milliseconds(seconds: Sequence[float], percent: int) -> str:
    return f"{statistics.quantiles(seconds, n=100)[percent - 1] * 1000:.0f} ms"


async def measure(options: argparse.Namespace, api: ApiProcess, store: Store) -> None:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=api.url, limits=limits, timeout=60) as http:
        rows = [
            await measure_idle(api, store, http, options.idle),
            await measure_delay(api, store, http, options.followers, options.writes, options.pause),
        ]
    for row in rows:
        print(markdown(tuple(row), [tuple(row.values())]), end="\n\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", default="", help="SQLAlchemy URL of an empty database. [SQLite in a folder]")
    parser.add_argument("--idle", type=int, default=500)
    parser.add_argument("--followers", type=int, default=50)
    parser.add_argument("--writes", type=int, default=60)
    parser.add_argument("--pause", type=float, default=1.0, help="Seconds between two writes.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        api = ApiProcess(Path(folder), options.database, TDMR_MAX_STREAMS="100000")
        store = Store(api.settings.database)
        api.start()
        try:
            asyncio.run(measure(options, api, store))
        finally:
            api.kill()
            store.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
