"""A process that is started again whenever it ends, as `restart: unless-stopped` does it in docker-compose.yml."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from worker import child

RESTART_SECONDS = 1.0


class Supervised:
    """Started by `start`. It dies with us, whatever ends us."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path | None = None
    ) -> None:
        """`folder` is where it runs; default: here."""
        self.name, self.log, self._folder = name, log, folder
        self.starts = 0
        self._command = [sys.executable, child.__file__, str(os.getpid()), *command]
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._over, self._started = threading.Event(), threading.Event()
        # the kernel kills a process with the thread that started it, so this one stays until the end
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Returns once there is a process, which may not be ready yet."""
        self._thread.start()
        self._started.wait()

    def process(self) -> psutil.Process | None:
        """The present one, if it lives."""
        try:
            found = psutil.Process(self._process.pid) if self._process is not None else None
            return found if found is not None and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def kill(self) -> None:
        """SIGKILL; it is started again."""
        if self._process is not None:
            self._process.kill()

    def tell_to_stop(self) -> None:
        """SIGTERM; it is not started again. Does not wait."""
        self._over.set()
        if self._process is not None:
            self._process.terminate()

    def stop(self, seconds: float) -> bool:
        """Whether it ended by itself within `seconds` after SIGTERM; otherwise it is killed."""
        self.tell_to_stop()
        self._thread.join(seconds)
        in_time = not self._thread.is_alive()
        self.kill()
        self._thread.join()
        return in_time

    def _run(self) -> None:
        while not self._over.is_set():
            with self.log.open("ab") as sink:
                self._process = subprocess.Popen(
                    self._command,
                    env=self._environment,
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=sink,
                    start_new_session=True,
                )
            self.starts += 1
            self._started.set()
            self._process.wait()
            self._over.wait(RESTART_SECONDS)


def marked(name: str, value: str) -> list[psutil.Process]:
    """All living processes with this variable in their environment, children's children included."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(name) == value:
                found.append(process)
    return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
