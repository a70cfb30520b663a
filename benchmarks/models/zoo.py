"""Which of timm's architectures can teach, be taught, and leave as which file.

    python -m benchmarks.models.zoo                     the smallest architecture of each of timm's modules
    python -m benchmarks.models.zoo --all               all of them; both go on where they were stopped
    python -m benchmarks.models.zoo --only NAME ...     these, again if need be
    python -m benchmarks.models.zoo --table             the table of docs/benchmarks/exports.md from the results file
    python -m benchmarks.models.zoo --refusals          what the catalogue refuses, from the same file

Weights are random, so no network is needed. Each architecture is tried in a process of its own with limits of memory,
processor time and time, so a crash or a hang is a result like others; what was not reached is tried in another process.
"""

import argparse
import json
import os
import resource
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch

from benchmarks import RESULTS
from benchmarks.common.cells import Line, read
from benchmarks.models.zoo_report import LIMIT, PARTS, refusals, table
from benchmarks.models.zoo_try import Trial, reason
from worker.training.models.catalog import read_known
from worker.training.models.compatibility import REFUSALS, write_refusals

GIB = 1 << 30
BROKE = "broke"


@dataclass(frozen=True)
class Limits:
    """Of one process."""

    cpu_seconds: int = 120
    seconds: int = 3600
    """Of wall time, against a hang; the machine may be busy with other things."""
    memory_gib: float = 8.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS / "zoo.jsonl")
    parser.add_argument("--all", action="store_true", help="every architecture, not one for each module")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these architectures, even if they are done")
    parser.add_argument("--data", type=Path, metavar="ZIP", help="images for the comparison; else they are made up")
    parser.add_argument("--cpu-seconds", type=int, default=Limits.cpu_seconds, help="limit of a process")
    parser.add_argument("--seconds", type=int, default=Limits.seconds, help="limit of a process, wall time")
    parser.add_argument("--memory-gib", type=float, default=Limits.memory_gib, help="limit of a process")
    parser.add_argument("--table", action="store_true", help="print the table and do nothing else")
    parser.add_argument("--refusals", action="store_true", help=f"write {REFUSALS.name} and do nothing else")
    options = parser.parse_args()
    if options.table:
        print(table(read(options.results)))
    elif options.refusals:
        write_refusals(refusals(read(options.results)))
    else:
        done = {line["architecture"] for line in read(options.results)}
        names = options.only or [name for name in order(everything=options.all) if name not in done]
        sweep(names, options.results, Limits(options.cpu_seconds, options.seconds, options.memory_gib), options.data)


def order(*, everything: bool) -> list[str]:
    """The smallest architecture of each module, smallest first; then, with `everything`, all the others."""
    rows = sorted(read_known().architectures.items(), key=lambda item: (item[1].parameters, item[0]))
    first: dict[str, str] = {}
    for name, row in rows:
        first.setdefault(row.family, name)
    smallest = list(first.values())
    return smallest + [name for name, _ in rows if name not in set(smallest)] if everything else smallest


def sweep(names: Sequence[str], results: Path, limits: Limits, data: Path | None = None) -> None:
    """Try each and append its line as soon as it is known."""
    results.parent.mkdir(parents=True, exist_ok=True)
    known = read_known().architectures
    for number, name in enumerate(names, 1):
        line = {"architecture": name, "module": known[name].family, **attempt(name, limits, data)}
        with results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        failed = [f"{part}: {line[part]}" for part in PARTS if line[part] is not True]
        print(f"[{number} of {len(names)}] {name}, {line['seconds']:.0f} s: {'; '.join(failed) or 'all'}", flush=True)


def attempt(architecture: str, limits: Limits, data: Path | None = None) -> Line:
    """Every part true or the reason, and what else was noted. A part at which the process dies has that for a reason,
    and what comes after it is tried in another process."""
    began, facts = time.monotonic(), {}
    while left := [part for part in PARTS if part not in facts]:
        with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
            told = Path(folder, "told.jsonl")
            death = _in_a_process(Trial(architecture, Path(folder), _teller(told), data), left, limits)
            at = None
            for name, value in _read_told(told):
                if name == "begin":
                    at = value
                else:
                    facts[name] = value
        missing = [part for part in left if part not in facts]
        if missing:
            facts[at if at in missing else missing[0]] = death or facts.pop(BROKE, "the process ended without a word")
    ordered = {part: facts.pop(part) for part in PARTS}
    versions = {"timm": timm.__version__, "torch": str(torch.__version__)}
    return {**ordered, "seconds": round(time.monotonic() - began, 1), **facts, **versions}


def _in_a_process(trial: Trial, parts: Sequence[str], limits: Limits) -> str | None:
    """How the process died, or None. Forked: what it needs is imported once for all."""
    child = os.fork()
    if child == 0:
        try:
            os.setpgrp()  # and no session of its own: that would leave a nice terminal's scheduling group
            _limit(limits)
            _quiet(trial.scratch / "log")
            trial.run(parts)
        except Exception as error:
            trial.tell(BROKE, reason(error))
        finally:
            os._exit(0)
    deadline = time.monotonic() + limits.seconds
    try:
        while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
            if time.monotonic() > deadline:
                _end(child)
                return f"{LIMIT} not done after {limits.seconds} s"
            time.sleep(0.2)
    except KeyboardInterrupt:
        _end(child)
        raise
    code = os.waitstatus_to_exitcode(ended[1])
    if code == -signal.SIGXCPU:
        return f"{LIMIT} not done after {limits.cpu_seconds} s of processor time"
    if code == -signal.SIGKILL:
        return f"{LIMIT} it was killed, as a rule for want of memory"
    return f"the process died of {signal.Signals(-code).name}" if code < 0 else None


def _end(child: int) -> None:
    """With the processes that it has started."""
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _limit(limits: Limits) -> None:
    # above the soft limit a process is told which one it met
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 5))
    memory = int(limits.memory_gib * GIB)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _quiet(log: Path) -> None:
    """What exporters print belongs nowhere."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)


def _teller(path: Path) -> Any:
    def tell(name: str, value: Any) -> None:
        with path.open("a") as file:
            file.write(json.dumps([name, value]) + "\n")

    return tell


def _read_told(path: Path) -> Iterator[tuple[str, Any]]:
    if path.is_file():
        yield from (tuple(json.loads(line)) for line in path.read_text().splitlines())


if __name__ == "__main__":
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
