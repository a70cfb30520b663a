"""How much memory and time a child may take."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest

from app.settings import Settings
from worker import limits
from worker.limits import Limits, Watchdog

MEGABYTE = 10**6
# a process and its own child hold 60 MB each; a word tells that they do
HOLDER = """
import subprocess, sys
held = b"x" * 60_000_000
if len(sys.argv) > 1:
    child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
    child.stdout.readline()
print("held", flush=True)
sys.stdin.read() if len(sys.argv) > 1 else __import__("time").sleep(600)
"""


@contextmanager
def holder() -> Iterator[int]:
    """The process id of one that holds 120 MB with its child."""
    command = [sys.executable, "-c", HOLDER, HOLDER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"held\n"
            yield process.pid
        finally:
            import os
            import signal

            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_POLL_SECONDS", 0.0)


@pytest.mark.usefixtures("no_pause")
class TestWatchdog:
    @pytest.mark.parametrize(("megabytes", "passed"), [(100, "memory"), (1000, None)])
    def test_counts_the_memory_of_a_child_and_all_that_it_started(
        self, megabytes: int, passed: Literal["memory"] | None
    ) -> None:
        with holder() as pid:
            assert Watchdog(pid, Limits(memory_bytes=megabytes * MEGABYTE)).passed() == passed

    def test_counts_the_time_from_its_making(self) -> None:
        watchdog = Watchdog(1, Limits(seconds=0.2))
        assert watchdog.passed() is None
        time.sleep(0.3)
        assert watchdog.passed() == "time"

    def test_a_child_that_is_gone_takes_nothing(self) -> None:
        child = subprocess.Popen([sys.executable, "-c", ""])
        child.wait()
        assert Watchdog(child.pid, Limits(memory_bytes=1)).passed() is None

    def test_without_limits_nothing_is_passed(self) -> None:
        assert Watchdog(1, Limits()).passed() is None


class TestPace:
    def test_looks_once_a_second(self) -> None:
        watchdog = Watchdog(1, Limits(seconds=0.0))
        assert watchdog.passed() is None
        time.sleep(limits._POLL_SECONDS)
        assert (watchdog.passed(), watchdog.passed()) == ("time", None)


class TestOf:
    def test_takes_the_settings_in_bytes_and_seconds(self) -> None:
        assert Limits.for_training(Settings(child_memory_gb=2.5, job_hours=0.5)) == Limits(2.5e9, 1800.0)
        assert Limits.for_training(Settings()) == Limits()
