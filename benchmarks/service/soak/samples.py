"""What the processes and the stores take, every quarter of a minute, as lines of JSON; and how much of it is growth."""

import contextlib
import json
import os
import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy.exc import OperationalError

from benchmarks.service.soak.ledger import Ledger
from benchmarks.service.soak.stack import SPARED_HOST, SoakStack

EVERY_SECONDS = 15.0
WARM_UP = 0.15
"""Of the samples: pools fill, modules are imported, the first job of each kind is run."""
MEASURES = ("rss", "descriptors", "threads")
Sample = dict[str, Any]


class Sampler(threading.Thread):
    """Until `over` is set."""

    def __init__(self, stack: SoakStack, ledger: Ledger, over: threading.Event, path: Path) -> None:
        super().__init__(name="sampler")
        self._stack, self._ledger, self._over, self._path = stack, ledger, over, path
        self.samples: list[Sample] = []
        self._cpu: dict[int, float] = {}

    def run(self) -> None:
        with self._path.open("w") as file:
            while True:
                self.samples.append(self._sample())
                file.write(json.dumps(self.samples[-1]) + "\n")
                file.flush()
                if self._over.wait(EVERY_SECONDS):
                    return

    def _sample(self) -> Sample:
        processes = {name: process.process() for name, process in self._stack.processes.items()}
        for one in filter(None, processes.values()):
            self._add_cpu(one)
        sample: Sample = {
            "at": round(time.time(), 1),
            "processes": {name: seen for name, one in processes.items() if one and (seen := self._look(one))},
            "children": [seen for child in self._stack.training_children() if (seen := self._look(child))],
            "disk": {home.name: _bytes_below(home) for home in self._stack.homes},
            "storage": _bytes_below(Path(self._stack.settings.storage.removeprefix("file://"))),
            "cpu_seconds": round(sum(self._cpu.values()), 1),
            "counts": dict(self._ledger.counts),
        }
        with contextlib.suppress(OperationalError):  # away for a moment; the next sample has it again
            sample["database_bytes"], sample["rows"] = self._stack.database_size()
        return sample

    def _add_cpu(self, process: psutil.Process) -> None:
        """With those of its ended children. What a killed process has taken since the last look is missing."""
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            self._cpu[process.pid] = times.user + times.system + times.children_user + times.children_system

    @staticmethod
    def _look(process: psutil.Process) -> dict[str, int] | None:
        try:
            with process.oneshot():
                return {
                    "pid": process.pid,
                    "rss": process.memory_info().rss,
                    "descriptors": process.num_fds(),
                    "threads": process.num_threads(),
                }
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return None


def growth(samples: Sequence[Sample]) -> dict[str, dict[str, dict[str, float]]]:
    """By process of the spared host and by measure: the medians of the first and the last quarter after the warm-up."""
    warm = samples[int(WARM_UP * len(samples)) :]
    quarter = max(1, len(warm) // 4)
    names = [name for name in samples[-1]["processes"] if name.endswith(f"-{SPARED_HOST}")]
    return {
        name: {
            measure: {
                when: statistics.median(s["processes"][name][measure] for s in part if name in s["processes"])
                for when, part in (("first", warm[:quarter]), ("last", warm[-quarter:]))
            }
            for measure in MEASURES
        }
        for name in names
    }


def _bytes_below(folder: Path) -> int:
    """Allocated ones; hard links count once."""
    seen: dict[tuple[int, int], int] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                status = Path(parent, name).lstat()
            except FileNotFoundError:
                continue
            seen[status.st_dev, status.st_ino] = 512 * status.st_blocks
    return sum(seen.values())
