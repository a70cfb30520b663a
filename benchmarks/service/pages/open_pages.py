"""Many pages of one running job open at once: `python -m benchmarks.service.pages.open_pages [--pages 50]`.

One API process on SQLite, and a writer that commits the job's progress as a worker does. Each page is its requests: the
job's page, its event stream, and the page anew every ten seconds and behind each validation, as its modules ask for
it. (Fifty real browsers leave two cores nothing for the service.) A client asks for `/healthz` meanwhile.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import threading
import time
from pathlib import Path

import httpx

from app.db.engine import Store
from app.domain.states import Stage
from app.services import leases
from benchmarks.common.table import markdown
from benchmarks.service.api_process import ApiProcess
from benchmarks.service.pages.site import POINTS, Site, fill, point

ASK_SECONDS = 0.05
REFRESH_SECONDS = 10.0
SETTLE_SECONDS = 10.0
PAGE, LIVE = {"Accept": "text/html"}, {"Accept": "text/event-stream"}


class Writer(threading.Thread):
    """A point a second, like a worker."""

    def __init__(self, store: Store, site: Site) -> None:
        super().__init__(daemon=True)
        self._store, self._site, self.over = store, site, threading.Event()

    def run(self) -> None:
        step = POINTS
        while not self.over.wait(1.0):
            step += 1
            with self._store.write() as session:
                told = {"stage": Stage.DISTILL, "progress": min(0.9, step / 5000), "points": [point(step)]}
                assert leases.record(session, self._site.claim, **told)


async def show(http: httpx.AsyncClient, path: str, loads: list[float]) -> None:
    """One open page; how long each load took goes to `loads`."""

    async def load() -> None:
        began = time.monotonic()
        (await http.get(path, headers=PAGE)).raise_for_status()
        loads.append(time.monotonic() - began)

    async def refresh() -> None:
        while True:
            await load()
            await asyncio.sleep(REFRESH_SECONDS)

    refreshing = asyncio.create_task(refresh())
    try:
        async with http.stream("GET", f"/v1{path}/events", headers=LIVE) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: ") and '"points"' in line and "val_accuracy" in line:
                    await asyncio.sleep(0.3 + 4 * random.random())
                    await load()
    finally:
        refreshing.cancel()


async def ask_for_health(http: httpx.AsyncClient, seconds: float) -> list[float]:
    taken, until = [], time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        (await http.get("/healthz")).raise_for_status()
        taken.append(time.monotonic() - began)
        await asyncio.sleep(ASK_SECONDS)
    return taken


async def measure(api: ApiProcess, job_id: str, pages: int, seconds: float) -> tuple[str, ...]:
    limits, loads = httpx.Limits(max_connections=None, max_keepalive_connections=None), list[float]()
    async with httpx.AsyncClient(base_url=api.url, limits=limits, timeout=60) as http:
        shown = [asyncio.create_task(show(http, f"/jobs/{job_id}", loads)) for _ in range(pages)]
        await asyncio.sleep(SETTLE_SECONDS)
        loads.clear()
        cpu, began = api.cpu_seconds(), time.monotonic()
        taken = await ask_for_health(http, seconds)
        share = (api.cpu_seconds() - cpu) / (time.monotonic() - began)
        for task in shown:
            task.cancel()
        ended = await asyncio.gather(*shown, return_exceptions=True)
    broken = sum(not isinstance(each, asyncio.CancelledError) for each in ended)
    return (
        str(pages),
        str(broken),
        str(len(loads)),
        f"{1000 * statistics.median(loads):.0f} ms" if loads else "",
        f"{share:.0%} of a core",
        *(f"{1000 * statistics.quantiles(taken, n=100)[percent - 1]:.0f} ms" for percent in (50, 99)),
        f"{api.memory() / 1e6:.0f} MB",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        api = ApiProcess(Path(folder), TDMR_MAX_STREAMS="1000")
        store = Store(api.settings.database)
        site = fill(store, 0, 10)
        api.start()
        writer = Writer(store, site)
        writer.start()
        try:
            rows = [
                asyncio.run(measure(api, site.running, pages, options.seconds))
                for pages in (0, options.pages, 0, options.pages)
            ]
        finally:
            writer.over.set()
            writer.join()
            api.kill()
            store.close()
    heads = ("open pages", "broken off", "loads", "one, p50", "API's CPU", "`/healthz` p50", "p99", "API's memory")
    print(markdown(heads, rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
