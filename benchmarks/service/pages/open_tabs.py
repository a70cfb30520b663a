"""Many pages of one running job open at once: `python -m benchmarks.service.pages.open_tabs [--tabs 50]`.

One API process on SQLite, one Chromium with `--tabs` tabs on the page of one job while a writer commits its progress
as a worker does. A client asks for `/healthz` meanwhile. All tabs are visible to themselves: none is throttled as those
of a real window in the background would be.
"""

import argparse
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
from benchmarks.service.pages.browser import DESKTOP, chromium
from benchmarks.service.pages.site import POINTS, Site, fill, point

ASK_SECONDS = 0.05
PATIENCE = 600_000
"""Milliseconds."""


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


def ask_for_health(url: str, seconds: float) -> list[float]:
    taken, until = [], time.monotonic() + seconds
    with httpx.Client(base_url=url, timeout=60) as http:
        while (began := time.monotonic()) < until:
            http.get("/healthz").raise_for_status()
            taken.append(time.monotonic() - began)
            time.sleep(ASK_SECONDS)
    return taken


def measure(api: ApiProcess, job_id: str, tabs: int, seconds: float) -> tuple[str, ...]:
    with chromium() as browser:
        began = time.monotonic()
        # as many people: tabs of one profile share six connections to a host, of which each stream holds one
        pages = [browser.new_context(**DESKTOP).new_page() for _ in range(tabs)]
        for page in pages:
            page.goto(f"{api.url}/jobs/{job_id}", wait_until="commit")
        for page in pages:
            page.locator("#charts canvas").first.wait_for(timeout=PATIENCE)
        opened = time.monotonic() - began
        cpu, began = api.cpu_seconds(), time.monotonic()
        taken = ask_for_health(api.url, seconds)
        share = (api.cpu_seconds() - cpu) / (time.monotonic() - began)
    p50, p99 = (1000 * statistics.quantiles(taken, n=100)[percent - 1] for percent in (50, 99))
    return (
        str(tabs),
        f"{opened:.0f} s" if tabs else "",
        f"{share:.0%} of a core",
        f"{p50:.0f} ms",
        f"{p99:.0f} ms",
        f"{api.memory() / 1e6:.0f} MB",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tabs", type=int, default=50)
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
            rows = [measure(api, site.running, tabs, options.seconds) for tabs in (0, options.tabs)]
        finally:
            writer.over.set()
            writer.join()
            api.kill()
            store.close()
    heads = ("open pages", "until all have curves", "API's CPU", "`/healthz` p50", "p99", "API's memory")
    print(markdown(heads, rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
