"""An API process of our own, on SQLite in a folder or another store: it can be killed and started again at the same
address."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import psutil

from app.db.migrate import upgrade
from app.settings import Settings
from worker import child

SAMPLE_SECONDS = 0.02


class ApiProcess:
    """Not running until it is started. It dies with us."""

    def __init__(self, home: Path, database_url: str = "", **settings: str) -> None:
        """`settings` by the names of their environment variables."""
        self.settings = Settings(home=home, database_url=database_url)
        self._environment = settings
        upgrade(self.settings.database)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = int(listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: psutil.Popen | None = None

    def start(self) -> None:
        """Waits until it answers."""
        launcher = [sys.executable, child.__file__, str(os.getpid())]
        command = [sys.executable, "-m", "app.cli", "api", f"--port={self.port}"]
        environment = os.environ | {"TDMR_HOME": str(self.settings.home), "TDMR_LOG_LEVEL": "warning"}
        environment |= {"TDMR_DATABASE_URL": self.settings.database} | self._environment
        self.process = psutil.Popen([*launcher, *command], env=environment, stdin=subprocess.DEVNULL)
        while True:
            try:
                httpx.get(f"{self.url}/healthz")
                return
            except httpx.TransportError:
                if self.process.poll() is not None:
                    raise RuntimeError("the API did not start") from None
                time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def memory(self) -> int:
        """Resident, in bytes."""
        assert self.process is not None
        return int(self.process.memory_info().rss)

    def cpu_seconds(self) -> float:
        assert self.process is not None
        times = self.process.cpu_times()
        return float(times.user + times.system)


class Watch:
    """Runs an API and watches its memory; kills it and starts it again each time enough has arrived."""

    def __init__(self, api: ApiProcess, arrived: Callable[[], int], kill_at: Sequence[int]) -> None:
        """`arrived` gives bytes; `kill_at` says at how many, rising."""
        self._api, self._arrived, self._kill_at = api, arrived, list(kill_at)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.killed_at: list[int] = []
        """Bytes that had arrived."""
        self.growth: list[int] = []
        """Of each life, most bytes of memory beyond those at its start."""

    def __enter__(self) -> "Watch":
        self._api.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._api.kill()

    def _run(self) -> None:
        ready, most = self._api.memory(), 0
        while not self._over.wait(SAMPLE_SECONDS):
            most = max(most, self._api.memory() - ready)
            if self._kill_at and self._arrived() >= self._kill_at[0]:
                self._kill_at.pop(0)
                self._api.kill()
                self.growth.append(most)
                self.killed_at.append(self._arrived())
                self._api.start()
                ready, most = self._api.memory(), 0
        self.growth.append(most)
