"""Who runs when three teams share two workers: `python -m benchmarks.service.fair --redis redis://127.0.0.1:6379/7`.

20 jobs are queued before the workers start: 12 of ann's, then 5 of bob's, then 3 of cyd's. Two real worker processes
take them from one Redis broker. The Redis database must be empty.
"""

import argparse
import statistics
from contextlib import ExitStack

from sqlalchemy import select

from app.db.models import Job, JobEvent
from app.domain.states import TERMINAL_JOB_STATES
from benchmarks.service.workers import WorkerBench, wait_for, worker_bench

QUEUED = {"ann": 12, "bob": 5, "cyd": 3}
WORKERS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--redis", default="redis://127.0.0.1:6379/7")
    with worker_bench(parser.parse_args().redis) as bench, ExitStack() as stack:
        owners = {bench.submit(tenant): tenant for tenant, count in QUEUED.items() for _ in range(count)}
        logs = [stack.enter_context(bench.worker(f"worker-{number}")) for number in range(WORKERS)]
        wait_for(lambda: _all_ended(bench), pause=0.5)
        started = _in_order_of_start(bench)
        shares = [log.read_text().count('"attempt 1 begins"') for log in logs]
    print("Order of starts: " + " ".join(owners[job_id] for job_id in started))
    print(f"Jobs of each worker: {', '.join(map(str, shares))}\n")
    print("| tenant | jobs | first start | mean place | mean place if the oldest went first |\n|---|---|---|---|---|")
    for tenant, count in QUEUED.items():
        places = [place for place, job_id in enumerate(started, 1) if owners[job_id] == tenant]
        by_age = [place for place, owner in enumerate(owners.values(), 1) if owner == tenant]
        means = f"{statistics.mean(places):.1f} | {statistics.mean(by_age):.1f}"
        print(f"| {tenant} | {count} | {min(places)} | {means} |")


def _all_ended(bench: WorkerBench) -> bool:
    with bench.store.read() as session:
        return session.scalar(select(Job.id).where(Job.state.not_in(TERMINAL_JOB_STATES)).limit(1)) is None


def _in_order_of_start(bench: WorkerBench) -> list[str]:
    with bench.store.read() as session:
        claims = select(JobEvent.job_id).where(JobEvent.code == "claimed").order_by(JobEvent.created_at)
        return list(session.scalars(claims))


if __name__ == "__main__":
    main()
