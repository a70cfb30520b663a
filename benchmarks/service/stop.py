"""How soon a machine is free after a cancel or a pause: `python -m benchmarks.service.stop`.

A real worker process with the default settings runs a child that takes steps and saves a checkpoint at each. Timed from
the commit of the request: until no process of the child is there any more, and until the job says so.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

from sqlalchemy.orm import Session

from app.db.models import DEFAULT_TENANT, Job
from app.domain.access import Caller
from app.domain.states import JobState
from app.services import job_actions
from benchmarks.service.workers import WorkerBench, wait_for, worker_bench

CALLER = Caller(DEFAULT_TENANT, "local")
REQUESTS: dict[str, tuple[Callable[[Session, Caller, str], Job], JobState]] = {
    "cancel": (job_actions.cancel, JobState.CANCELLED),
    "pause": (job_actions.pause, JobState.PAUSED),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    repeats = parser.parse_args().repeats
    with worker_bench() as bench, bench.worker():
        (bench.orders / "hold").write_text("1")
        measured = {request: [_measure(bench, request) for _ in range(repeats)] for request in REQUESTS}
    print("| request | child gone, s: median (least – most) | job says so, s: median (least – most) |\n|---|---|---|")
    for request, pairs in measured.items():
        gone, said = (f"{statistics.median(s):.2f} ({min(s):.2f} – {max(s):.2f})" for s in zip(*pairs, strict=True))
        print(f"| {request} | {gone} | {said} |")


def _measure(bench: WorkerBench, request: str) -> tuple[float, float]:
    action, state = REQUESTS[request]
    job_id = bench.submit()
    out = bench.settings.scratch / "jobs" / job_id / "out"
    wait_for((out / "half way").exists)
    pid = int((out / "pid").read_text())
    with bench.store.write() as session:
        action(session, CALLER, job_id)
    began = time.monotonic()
    wait_for(lambda: not _lives(pid), pause=0.005)
    gone = time.monotonic()
    wait_for(lambda: bench.job(job_id).state == state, pause=0.02)
    return gone - began, time.monotonic() - began


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
