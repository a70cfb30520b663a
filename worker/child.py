"""Run a command in a process of its own, which cannot outlive this one and cannot take it down.

The command runs in its own session, so the whole of it can be signalled at once, and asks the kernel to be killed when
its parent dies (PR_SET_PDEATHSIG), so that neither a crash nor `kill -9` of the supervisor leaves a device occupied.
The kernel means the *thread* that started it: start a `Child` from a thread that outlives it.

This file is also the launcher: run as a script it asks for the signal and becomes the command. Doing that between fork
and exec (`preexec_fn`) is not safe in a process with threads. As a launcher it must import the standard library only.
"""

import contextlib
import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

PR_SET_PDEATHSIG = 1
LONGEST_LINE = 2**20
"""Bytes. Longer lines are no messages of ours; they are dropped."""
QUEUED_LINES = 1000
"""A reader that falls this far behind makes the command wait."""
TAIL_LINES = 50
_POLL_SECONDS = 0.05


class Child:
    """A running command. Its standard output is read line by line; of standard error the tail is kept, for logs."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str]) -> None:
        """Start `command`, found on PATH. `env` is its whole environment: ours holds secrets."""
        launcher = [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]
        self._process = subprocess.Popen(
            launcher,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            start_new_session=True,
        )
        self._lines: queue.Queue[str] = queue.Queue(QUEUED_LINES)
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._unread = threading.Event()
        """Set when reading has ended: lines that do not fit are dropped, so the command never blocks on its output."""
        assert self._process.stdout is not None and self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read_output, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_errors, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self, timeout: float) -> str | None:
        """The next line of standard output without its end, or None if none came within `timeout` seconds."""
        with contextlib.suppress(queue.Empty):
            return self._lines.get(timeout=timeout)
        return None

    def ended(self) -> bool:
        """Whether it has exited and every line was read."""
        if not self._has_exited():
            return False
        self._kill_all()  # what it left behind would hold the pipe open
        return not self._readers[0].is_alive() and self._lines.empty()

    def close(self, grace: float = 0.0) -> int:
        """Make sure that nothing of it runs any more: SIGTERM, `grace` seconds later SIGKILL, to all it started.

        What it says in the time of grace can be read afterwards, as far as there is space.

        Returns:
            The exit status; minus the signal's number where a signal ended it.
        """
        self._unread.set()
        if grace > 0 and not self._has_exited():
            self._signal(signal.SIGTERM)
            deadline = time.monotonic() + grace
            while not self._has_exited() and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        self._kill_all()
        status = self._process.wait()
        for reader in self._readers:
            reader.join(timeout=1)
        return status

    def kill(self) -> None:
        """End it from another thread, without waiting for its end."""
        self._kill_all()

    def stderr_tail(self) -> str:
        """The last lines of standard error: for our logs, never for users."""
        return "\n".join(self._tail)

    def _has_exited(self) -> bool:
        if self._process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def _kill_all(self) -> None:
        # until it is reaped the group's number is its own and nobody else's
        if self._process.returncode is None:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _read_output(self, stream: BinaryIO) -> None:
        for line in _lines_of(stream):
            while True:
                unread = self._unread.is_set()
                with contextlib.suppress(queue.Full):
                    self._lines.put(line, block=not unread, timeout=_POLL_SECONDS)
                    break
                if unread:
                    break

    def _read_errors(self, stream: BinaryIO) -> None:
        self._tail.extend(_lines_of(stream))


def become(parent: int, command: Sequence[str]) -> None:
    """Turn this process into `command`, killed by the kernel when `parent` dies. Does not return."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)
    try:
        os.execvp(command[0], list(command))  # noqa: S606 (no shell is the point)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be started: {error.strerror}")


def _lines_of(stream: BinaryIO) -> Iterator[str]:
    with stream:
        inside_long = False
        while chunk := stream.readline(LONGEST_LINE):
            complete = chunk.endswith(b"\n")
            if (complete or len(chunk) < LONGEST_LINE) and not inside_long:
                yield chunk.rstrip(b"\r\n").decode("utf-8", "replace")
            inside_long = not complete


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
