"""How much memory and time a child may take. Watched from outside: a limit of the kernel's on address space would count
what CUDA and mapped files reserve, and a child at such a limit fails somewhere in a library instead of here."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Self

import psutil

from app.settings import Settings

_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """None: no limit."""

    memory_bytes: float | None = None
    """Of all its processes together, without what files are mapped."""
    seconds: float | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of a training process."""
        memory, hours = settings.child_memory_gb, settings.job_hours
        return cls(None if memory is None else memory * 1e9, None if hours is None else hours * 3600)


class Watchdog:
    """Ask `passed()` often; it looks about once a second."""

    def __init__(self, pid: int, limits: Limits) -> None:
        self._limits = limits
        self._pid = pid
        self._began = self._looked = time.monotonic()

    def passed(self) -> Literal["time", "memory"] | None:
        """The limit that is passed; the caller ends the child."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return None
        self._looked = now
        if self._limits.seconds is not None and now - self._began > self._limits.seconds:
            return "time"
        if self._limits.memory_bytes is not None and self._memory() > self._limits.memory_bytes:
            return "memory"
        return None

    def _memory(self) -> int:
        total = 0
        with suppress(psutil.NoSuchProcess):
            child = psutil.Process(self._pid)
            for process in (child, *child.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    memory = process.memory_info()
                    total += memory.rss - memory.shared
        return total
