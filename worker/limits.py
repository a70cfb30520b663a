"""Limit the memory and time of a child. Watched from outside: a limit of the kernel's on address space would count
what CUDA and mapped files reserve, and a child at such a limit fails somewhere in a library instead of here."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Self

import psutil

from app.settings import Settings

LimitName = Literal["time", "memory"]
_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """None: no limit."""

    memory_bytes: float | None = None
    """Of all its processes together, without what files are mapped."""
    seconds: float | None = None

    @classmethod
    def for_training(cls, settings: Settings) -> Self:
        hours = settings.job_hours
        return cls(_bytes(settings.child_memory_gb), None if hours is None else hours * 3600)

    @classmethod
    def for_import(cls, settings: Settings) -> Self:
        return cls(_bytes(settings.child_memory_gb), settings.import_minutes * 60)


class Watchdog:
    """Ask `passed()` often; it measures about once a second."""

    def __init__(self, pid: int, limits: Limits) -> None:
        self._limits = limits
        self._pid = pid
        self._began = self._measured = time.monotonic()
        self.peak_bytes = 0
        """The most memory that it has seen."""

    def passed(self) -> LimitName | None:
        """The limit that is passed; the caller ends the child."""
        now = time.monotonic()
        if now - self._measured < _POLL_SECONDS:
            return None
        self._measured = now
        if self._limits.seconds is not None and now - self._began > self._limits.seconds:
            return "time"
        memory = self._memory()
        self.peak_bytes = max(self.peak_bytes, memory)
        if self._limits.memory_bytes is not None and memory > self._limits.memory_bytes:
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


def _bytes(gigabytes: float | None) -> float | None:
    return None if gigabytes is None else gigabytes * 1e9
