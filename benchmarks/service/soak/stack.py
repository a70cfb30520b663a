"""The production stack as docker-compose.yml starts it, on two hosts: Postgres, Redis, and each of `tdmr`'s processes.

Host a is the one whose processes are killed. Host b is spared, so its memory and descriptors tell what hours of work
and of killed neighbours, brokers and connections leave behind in a process.
"""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
from sqlalchemy import text

from app.db.engine import Store
from app.settings import Settings
from benchmarks.service.api_store import empty_schema
from benchmarks.service.supervised import Supervised, free_port, marked

TDMR = (sys.executable, "-m", "app.cli")
ROLES = ("api", "datasets", "training")
KILLED_HOST, SPARED_HOST = "a", "b"
MARK = "TDMR_SOAK"
"""In the environment of every process of one stack."""
START_SECONDS = 180.0
STOP_SECONDS = 120.0
"""As compose's `stop_grace_period` of the training worker."""
LEFT_SECONDS = 10.0
"""What a process has started may end after it: Python's forkserver and resource tracker learn of its end by a pipe, one
after the other, 0.1 to 0.4 seconds later."""
KEY = "the-operators-first-key-of-the-soak"


class SoakStack:
    """Made by `running_stack`."""

    def __init__(self, folder: Path, database: str) -> None:
        self.id = f"soak_{uuid.uuid4().hex[:12]}"
        redis_port = free_port()
        storage = folder / "blobs"
        storage.mkdir(parents=True, exist_ok=True)
        self.settings = Settings(
            home=folder / "home",
            # the name tells our connections from those of others on the same server
            database_url=f"{database}&application_name={self.id}",
            broker_url=f"redis://127.0.0.1:{redis_port}/0",
            storage_url=storage.as_uri(),
        )
        self.store = Store(database)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TDMR_")} | {
            MARK: self.id,
            "TDMR_DATABASE_URL": self.settings.database,
            "TDMR_BROKER_URL": self.settings.broker_url,
            "TDMR_STORAGE_URL": self.settings.storage_url,
            "TDMR_API_KEY": KEY,
            "TDMR_RATE_LIMIT": "0",  # at the end every file is asked for at once
            "TDMR_HUB": "false",
            "TDMR_DEVICE": "cpu",
            "TDMR_STOP_GRACE_SECONDS": "30",
        }
        subprocess.run([*TDMR, "migrate"], env=environment, check=True, capture_output=True)
        self.urls: dict[str, str] = {}
        """Of each host's API."""
        self.homes: list[Path] = []
        broker = ["redis-server", "--bind", "127.0.0.1", "--port", str(redis_port), "--save", "", "--dir", str(folder)]
        broker += ["--appendonly", "no", "--maxmemory", "192mb", "--maxmemory-policy", "noeviction"]
        self.processes = {"redis": Supervised("redis", broker, environment, folder / "redis.log")}
        for host in (KILLED_HOST, SPARED_HOST):
            port = free_port()
            self.urls[host] = f"http://127.0.0.1:{port}"
            for role in ROLES:
                name = f"{role}-{host}"
                home = folder / f"home-{name}"
                self.homes.append(home)
                options = ["api", f"--port={port}"] if role == "api" else ["worker", f"--queue={role}"]
                self.processes[name] = Supervised(
                    name, [*TDMR, *options], environment | {"TDMR_HOME": str(home)}, folder / f"{name}.log"
                )

    def start(self) -> None:
        """Waits until the service can take jobs."""
        for process in self.processes.values():
            process.start()
        deadline = time.monotonic() + START_SECONDS
        while not all(map(_can_train, self.urls.values())):
            if time.monotonic() > deadline:
                raise TimeoutError("the stack did not start; its logs say why")
            time.sleep(1)

    def stop(self) -> list[str]:
        """SIGTERM to all, Redis last; says who did not end in time or was left over. May be called again."""
        redis = self.processes.pop("redis", None)
        for process in self.processes.values():
            process.tell_to_stop()
        wrong = [f"{p.name} did not stop on SIGTERM" for p in self.processes.values() if not p.stop(STOP_SECONDS)]
        self.processes.clear()
        if redis is not None:
            redis.stop(STOP_SECONDS)
        deadline = time.monotonic() + LEFT_SECONDS
        while (strays := marked(MARK, self.id)) and time.monotonic() < deadline:
            time.sleep(0.1)
        for stray in strays:
            with suppress(psutil.NoSuchProcess):  # it ends while we look
                wrong.append(f"process {stray.pid} is an orphan: {' '.join(stray.cmdline())}")
                stray.kill()
        self.store.close()
        return wrong

    def training_children(self) -> list[psutil.Process]:
        """Jobs' processes, not the processes that these have started."""
        workers = [self.processes[f"training-{host}"].process() for host in self.urls]
        return [child for worker in workers if worker is not None for child in _children(worker)]

    def end_connections(self) -> int:
        """Terminate every connection to Postgres; gives how many there were."""
        ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = :name"
        with self.store.engine.begin() as connection:
            return int(connection.execute(text(ended), {"name": self.id}).scalar_one())

    def database_size(self) -> tuple[int, dict[str, int]]:
        """Bytes of the schema, and the rows of its tables."""
        with self.store.engine.connect() as connection:
            names = connection.execute(
                text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename")
            )
            rows = {
                str(name): int(connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one())
                for name in names.scalars()
            }
            sizes = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class WHERE relkind = 'r' "
            size = connection.execute(text(sizes + "AND relnamespace = current_schema()::regnamespace"))
            return int(size.scalar_one()), rows


@contextmanager
def running_stack(folder: Path, server: str) -> Iterator[SoakStack]:
    """One in a schema of its own, which is dropped afterwards, with files and logs in `folder`.

    Args:
        server: URL of a Postgres database.
    """
    with empty_schema(server) as database:
        stack = SoakStack(folder, database)
        try:
            stack.start()
            yield stack
        finally:
            stack.stop()


def _can_train(url: str) -> bool:
    """Whether the API answers and a worker has registered."""
    try:
        return httpx.get(f"{url}/v1/students?limit=1", headers={"Authorization": f"Bearer {KEY}"}).is_success
    except httpx.TransportError:
        return False


def _children(worker: psutil.Process) -> list[psutil.Process]:
    try:
        return [child for child in worker.children() if "worker.training" in child.cmdline()]
    except psutil.NoSuchProcess:
        return []
