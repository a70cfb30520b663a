"""Whether a second thread helps on cores that are busy: `python -m benchmarks.service.threads`.

Training steps of a small student with one and with two threads, whose OpenMP threads wait actively or passively, alone
and beside loops that keep every core busy. Each in a process of its own, since OpenMP reads its variables once.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.common.table import markdown
from worker.cpus import PASSIVE

ACTIVE = {"OMP_WAIT_POLICY": "ACTIVE"}
WAYS = (("as installed", {}), ("active", ACTIVE), ("passive", PASSIVE))
BATCH, SIZE, WARM_UP = 32, 64, 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="mobilenetv3_small_050")
    parser.add_argument("--seconds", type=float, default=5.0, help="Of each measurement.")
    parser.add_argument("--loops", type=int, default=os.cpu_count() or 1, help="Busy loops beside it.")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.student, options.seconds)))
        return 0
    rows = []
    for loops in dict.fromkeys((0, options.loops)):
        with _busy(loops):
            for threads in (1, 2):
                for name, variables in WAYS if threads > 1 else WAYS[:1]:
                    speed = _in_a_process(options, variables | {"OMP_NUM_THREADS": str(threads)})
                    rows.append((str(loops), str(threads), name, f"{speed:.0f}"))
    print(markdown(("busy loops", "threads", "OpenMP waits", "images a second"), rows))
    return 0


def measure(name: str, seconds: float) -> float:
    """Images a second, of a forward and a backward pass."""
    from worker.training.models.networks import build_student  # noqa: PLC0415 (torch, only in the process that needs it)

    student = build_student(name, 10, SIZE)
    images = student.example(BATCH)
    steps, began = 0, time.perf_counter()
    while steps < WARM_UP + 1 or time.perf_counter() - began < seconds:
        if steps == WARM_UP:
            began = time.perf_counter()
        student(images)[1].square().mean().backward()
        steps += 1
    return (steps - WARM_UP) * BATCH / (time.perf_counter() - began)


def _in_a_process(options: argparse.Namespace, variables: dict[str, str]) -> float:
    command = [sys.executable, "-m", "benchmarks.service.threads", "--measure", "--student", options.student]
    given = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "KMP_", "GOMP_"))}
    done = subprocess.run(
        [*command, "--seconds", str(options.seconds)],
        env=given | variables,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(json.loads(done.stdout))


@contextmanager
def _busy(loops: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    raise SystemExit(main())
