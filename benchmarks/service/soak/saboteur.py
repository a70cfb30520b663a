"""Kills one thing a minute. Each has its turn in every round, in an order by chance."""

import random
import threading
import time
from collections.abc import Iterator

import psutil

from benchmarks.service.soak.ledger import Ledger
from benchmarks.service.soak.stack import KILLED_HOST, SoakStack

TARGETS = ("api", "datasets", "training", "redis", "training child", "connections")


class Saboteur(threading.Thread):
    """Until `over` is set."""

    def __init__(self, stack: SoakStack, ledger: Ledger, over: threading.Event, every: float, seed: str) -> None:
        super().__init__(name="saboteur")
        self._stack, self._ledger, self._over, self._every = stack, ledger, over, every
        self._chance = random.Random(seed)
        self.killed: list[tuple[float, str]] = []
        """When, by `time.time()`, and what."""

    def run(self) -> None:
        for target in self._turns():
            next_one = time.monotonic() + self._every
            if self._over.wait(self._every * self._chance.uniform(0.05, 0.5)):
                return
            if self._kill(target, patience=self._every / 2):
                self.killed.append((time.time(), target))
                self._ledger.count(f"killed: {target}")
            if self._over.wait(max(0.0, next_one - time.monotonic())):
                return

    def _turns(self) -> Iterator[str]:
        while True:
            yield from self._chance.sample(TARGETS, len(TARGETS))

    def _kill(self, target: str, patience: float) -> bool:
        if target == "connections":
            return self._stack.end_connections() > 0
        if target == "training child":
            return self._kill_child(patience)
        self._stack.processes[target if target == "redis" else f"{target}-{KILLED_HOST}"].kill()
        return True

    def _kill_child(self, patience: float) -> bool:
        """As soon as one runs, and not always at its start. False: none did."""
        deadline = time.monotonic() + patience
        while not self._stack.training_children():
            if time.monotonic() > deadline or self._over.wait(0.5):
                return False
        self._over.wait(self._chance.uniform(0, 8))
        for child in self._stack.training_children()[:1]:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                return False
            return True
        return False
