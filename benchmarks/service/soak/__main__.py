"""The production stack for hours, under load, while its parts are killed: `python -m benchmarks.service.soak`.

`tdmr migrate`, and on each of two hosts `tdmr api` and both `tdmr worker`s, with a Redis of its own and a schema of its
own in the Postgres of `--server`. Clients import small data sets, run jobs of 300 image steps and look at everything.
Once a minute something gets SIGKILL: a process of the first host, a training process of either, Redis; or every
connection to Postgres is terminated. All of it is started again by a supervisor, as in docker-compose.yml.

In the end every data set and job that was accepted must have ended as it should, each success exactly once and with
the files that are told of it; nothing may be left behind, and the second host, which was spared, must not have grown.
A line a minute tells how it goes; `--out` keeps logs, a sample each quarter of a minute and the figure.
"""

import argparse
import json
import os
import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import RESULTS
from benchmarks.common.training import machine_name
from benchmarks.service.soak import load, plot, samples, verdict
from benchmarks.service.soak.client import Client
from benchmarks.service.soak.ledger import Ledger
from benchmarks.service.soak.saboteur import Saboteur
from benchmarks.service.soak.samples import Sampler
from benchmarks.service.soak.stack import SPARED_HOST, SoakStack, running_stack
from benchmarks.service.soak.table import tables

SERVER = "postgresql+psycopg://postgres@127.0.0.1:5432/test"
MOST_GROWTH = {"rss": 32 * 10**6, "descriptors": 16, "threads": 8}
"""Of a spared process, between the first and the last quarter: what pools and an allocator may still do."""


def main() -> int:
    options = _options()
    if options.table:
        print(tables([json.loads(line) for line in options.results.read_text().splitlines()]))
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ledger = Ledger()
    threading.excepthook = lambda ended: ledger.find(f"our thread {ended.thread} ended: {ended.exc_value!r}")
    with running_stack(options.out, options.server) as stack:
        line, drawn = _soak(stack, ledger, options)
        for problem in stack.stop():
            ledger.find(problem)
    line |= {"findings": ledger.counts["findings"], "what": ledger.findings, "counts": dict(ledger.counts)}
    with options.results.open("a") as results:
        results.write(json.dumps(line) + "\n")
    print(json.dumps(line, indent=1))
    print(f"Figure: {drawn}")
    return 1 if line["findings"] else 0


def _soak(stack: SoakStack, ledger: Ledger, options: argparse.Namespace) -> tuple[dict[str, Any], Path]:
    """The line of results, but for the counts, and the figure's path."""
    over, all_over = threading.Event(), threading.Event()

    def client(name: str) -> Client:
        return Client(list(stack.urls.values()), ledger, over, f"{options.seed} {name}")

    sampler = Sampler(stack, ledger, all_over, options.out / "samples.jsonl")
    saboteur = Saboteur(stack, ledger, over, options.every, f"{options.seed} saboteur")
    clients = load.threads(client, load.Pace(options.import_pause, options.job_pause, options.look_pause))
    began = time.monotonic()
    for thread in (sampler, *clients, saboteur):
        thread.start()
    try:
        for minute in range(1, options.minutes + 1):
            time.sleep(max(0.0, began + 60 * minute - time.monotonic()))
            print(_told(minute, sampler, saboteur, ledger), flush=True)
    finally:
        over.set()
        for thread in (*clients, saboteur):
            thread.join()
    settling = time.monotonic()
    verdict.settle(stack, ledger)
    settled = time.monotonic() - settling
    verdict.check(stack, ledger, client("verdict"))
    for name, process in stack.processes.items():
        if name.endswith(f"-{SPARED_HOST}") and process.starts > 1:
            ledger.find(f"{name}, which nobody killed, was started {process.starts} times")
    all_over.set()
    sampler.join()
    grown = samples.growth(sampler.samples)
    for name, measures in grown.items():
        for measure, part in measures.items():
            if part["last"] - part["first"] > MOST_GROWTH[measure]:
                ledger.find(f"{name} has grown: {measure} from {part['first']:,.0f} to {part['last']:,.0f}")
    drawn = options.out / "soak.svg"
    plot.draw(sampler.samples, saboteur.killed, drawn)
    last = sampler.samples[-1]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine_name(),
        "load_average": os.getloadavg()[2],
        "minutes": options.minutes,
        "seed": options.seed,
        "accepted": {"data sets": len(ledger.datasets), "jobs": len(ledger.jobs)},
        "settled_seconds": round(settled),
        "cpu_share": round(last["cpu_seconds"] / (time.monotonic() - began), 2),
        "starts": {name: process.starts for name, process in stack.processes.items()},
        "growth": grown,
        "database_bytes": last.get("database_bytes"),
        "rows": last.get("rows"),
    }, drawn


def _told(minute: int, sampler: Sampler, saboteur: Saboteur, ledger: Ledger) -> str:
    """A line for whoever watches."""
    last, counts = sampler.samples[-1], ledger.counts
    spared = {name: seen for name, seen in last["processes"].items() if name.endswith(f"-{SPARED_HOST}")}
    sizes = ", ".join(f"{name} {seen['rss'] / 1e6:.0f} MB {seen['descriptors']} fd" for name, seen in spared.items())
    victim = saboteur.killed[-1][1] if saboteur.killed else "nothing"
    return (
        f"[{minute:3} min] {len(ledger.datasets)} data sets, {len(ledger.jobs)} jobs accepted; "
        f"{counts['answers']} answers, {counts['503']} × 503, {counts['no answer']} × none; "
        f"{counts['files checked']} files checked; {len(saboteur.killed)} killed, last {victim}; "
        f"{last['cpu_seconds'] / (60 * minute):.0%} of a core; {sizes}; findings: {counts['findings']}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0, help="of what is killed and looked at (%(default)s)")
    parser.add_argument("--every", type=float, default=60, help="seconds from kill to kill (%(default)s)")
    for name, what in (("import", "imports"), ("job", "jobs"), ("look", "looks")):
        parser.add_argument(
            f"--{name}-pause",
            type=float,
            default=getattr(load.Pace, what),
            help=f"seconds between {what} (%(default)s)",
        )
    parser.add_argument("--table", action="store_true", help="only print the tables of what is in --results")
    parser.add_argument("--server", default=SERVER, help="a Postgres database (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/soak"), help="for logs, samples, figure (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS / "soak.jsonl", help="(%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
