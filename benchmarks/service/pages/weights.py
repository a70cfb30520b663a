"""What each page weighs and how soon it is there, with 10,000 jobs and 1,000 classes:
`python -m benchmarks.service.pages.weights`.

Each page is opened `--times` times in a browser without a cache, over loopback; medians. Bytes are those of bodies as
they are sent. The first paint is Chromium's own; the time to curves ends when the first one is drawn.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser

from app.db.engine import Store
from benchmarks.common.table import markdown
from benchmarks.service.api_process import ApiProcess
from benchmarks.service.pages.browser import DESKTOP, chromium
from benchmarks.service.pages.site import fill

PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
REQUESTS = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
SIZES = f"{REQUESTS}.map((each) => each.encodedBodySize)"
ANSWER = "performance.getEntriesByType('navigation')[0].responseEnd"
CURVES_MS = 60_000


def measured(browser: Browser, url: str, *, has_curves: bool) -> tuple[float, ...]:
    """Requests, kB, of which the page itself, ms to its last byte, to the first paint, to the first curve."""
    context = browser.new_context(**DESKTOP)
    page = context.new_page()
    began = time.monotonic()
    page.goto(url, wait_until="load")
    drawn = float("nan")
    if has_curves:
        page.locator("#charts canvas").first.wait_for(timeout=CURVES_MS)
        drawn = 1000 * (time.monotonic() - began)
    while page.evaluate(PAINT) is None:  # the pages' own policy forbids Playwright's way of waiting
        page.wait_for_timeout(20)
    page.wait_for_timeout(300)
    sizes = page.evaluate(SIZES)
    found = (len(sizes), sum(sizes) / 1000, sizes[0] / 1000, page.evaluate(ANSWER), page.evaluate(PAINT), drawn)
    context.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=1_000)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        api = ApiProcess(Path(folder), TDMR_MAX_STREAMS="1000")
        store = Store(api.settings.database)
        site = fill(store, options.jobs, options.classes)
        api.start()
        paths = {
            "`/`": "/",
            "`/jobs`": "/jobs",
            "`/jobs/new`": "/jobs/new",
            "`/jobs/{id}`, running": f"/jobs/{site.running}",
            "`/jobs/compare`": "/jobs/compare",
            "`/datasets`": "/datasets",
            "`/datasets/{id}`": f"/datasets/{site.dataset}",
            "`/queue`": "/queue",
            "`/webhooks`": "/webhooks",
            "`/keys`": "/keys",
            "`/audit`": "/audit",
            "`/tenants`": "/tenants",
        }
        rows = []
        try:
            with chromium() as browser:
                for name, path in paths.items():
                    has_curves = path == f"/jobs/{site.running}"
                    seen = [measured(browser, api.url + path, has_curves=has_curves) for _ in range(options.times)]
                    requests, total, page, last, paint, drawn = (
                        statistics.median(each) for each in zip(*seen, strict=True)
                    )
                    curves = f"{drawn:.0f} ms" if has_curves else ""
                    rows.append(
                        (
                            name,
                            f"{requests:.0f}",
                            f"{total:.0f} kB",
                            f"{page:.1f} kB",
                            f"{last:.0f} ms",
                            f"{paint:.0f} ms",
                            curves,
                        )
                    )
        finally:
            api.kill()
            store.close()
    heads = ("page", "requests", "all bytes", "the page", "last byte", "first paint", "first curve")
    print(markdown(heads, rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
