"""Children are real processes here: ones that talk, ones that will not stop, ones whose parent is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.child import LONGEST_LINE, Child

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def start(command: list[str]) -> Child:
    return Child(command, env=os.environ)


def read_all(child: Child) -> list[str]:
    lines = []
    while not child.ended():
        if (line := child.read(0.05)) is not None:
            lines.append(line)
    return lines


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():  # pytest's own time limit ends it
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether no such process runs; one that nobody has reaped yet has ended too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class TestReading:
    def test_gives_every_line_in_order(self) -> None:
        child = start(python("for i in range(5000): print(i)"))

        assert read_all(child) == [str(i) for i in range(5000)]
        assert child.close() == 0

    def test_gives_none_while_there_is_nothing(self) -> None:
        child = start(python(STUBBORN))
        assert child.read(60) == "ready"

        assert child.read(0.01) is None
        assert not child.ended()
        child.close()

    def test_drops_a_line_that_is_no_message(self) -> None:
        child = start(python(f"print('a'); print('x' * {3 * LONGEST_LINE}); print('b')"))

        assert read_all(child) == ["a", "b"]
        child.close()

    def test_keeps_the_tail_of_standard_error(self) -> None:
        child = start(python("import sys; [print(i, file=sys.stderr) for i in range(80)]"))
        read_all(child)
        child.close()

        assert child.stderr_tail().splitlines() == [str(i) for i in range(30, 80)]

    def test_ends_although_something_it_started_holds_its_output(self) -> None:
        child = start(["sh", "-c", "sleep 600 & echo $!"])

        (pid,) = read_all(child)

        assert child.close() == 0
        wait_for(lambda: is_gone(int(pid)))


class TestClose:
    def test_tells_the_exit_status(self) -> None:
        child = start(python("raise SystemExit(75)"))
        read_all(child)

        assert child.close() == 75

    def test_lets_it_end_by_itself_within_the_grace(self) -> None:
        code = (
            "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(75)); "
            "print('ready', flush=True); time.sleep(600)"
        )
        child = start(python(code))
        assert child.read(60) == "ready"

        assert child.close(grace=60) == 75

    def test_kills_one_that_ignores_the_request(self) -> None:
        child = start(python(STUBBORN))
        assert child.read(60) == "ready"

        assert child.close(grace=0.1) == -signal.SIGKILL

    def test_kills_what_the_child_started(self) -> None:
        child = start(["sh", "-c", "sleep 600 & echo $!; wait"])
        pid = int(child.read(60) or 0)

        child.close()

        wait_for(lambda: is_gone(pid))

    def test_ends_one_whose_output_nobody_reads(self) -> None:
        code = (
            "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: (print('x' * 1000), sys.exit(75)))\n"
            "while True: print('x' * 1000, flush=True)"
        )
        child = start(python(code))
        assert child.read(60)

        assert child.close(grace=60) == 75

    def test_may_be_called_twice(self) -> None:
        child = start(python("raise SystemExit(3)"))
        read_all(child)

        assert child.close() == child.close() == 3

    def test_reports_a_command_that_is_not_there(self) -> None:
        child = start(["no-such-command"])
        read_all(child)

        assert child.close() == 1
        assert "no-such-command cannot be started" in child.stderr_tail()


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
class TestParentDeath:
    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
    @pytest.mark.parametrize("confine", [False, True])
    def test_takes_the_child_along(self, how: signal.Signals, confine: bool) -> None:
        code = (
            "import os, time; from app.isolation import confined; from worker.child import Child\n"
            f"command = [{sys.executable!r}, '-c', {STUBBORN!r}]\n"
            f"child = Child(confined(command) if {confine} else command, env=os.environ); child.read(60)\n"
            "print(child.pid, flush=True); time.sleep(600)"
        )
        with subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True) as supervisor:
            assert supervisor.stdout is not None
            pid = int(supervisor.stdout.readline())
            assert not is_gone(pid)

            os.kill(supervisor.pid, how)

        wait_for(lambda: is_gone(pid))
