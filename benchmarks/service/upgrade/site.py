"""A store and the processes on it: as `tdmr up` keeps it in one folder, or with Postgres and Redis."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import make_url

from benchmarks.common.service import Client
from benchmarks.service.supervised import Supervised, free_port

ROOT = Path(__file__).parents[3]
API, DATASETS, TRAINING = "api", "datasets", "training"
ROLES = (API, DATASETS, TRAINING)
REQUEST_SECONDS = 120.0
START_SECONDS = 120.0
STOP_SECONDS = 120.0


@dataclass(frozen=True)
class Version:
    """A working tree of the service with an environment of its own in `.venv`."""

    name: str
    tree: Path

    def command(self, *arguments: str) -> list[str]:
        return [str(self.tree / ".venv" / "bin" / "tdmr"), *arguments]


def this_version() -> Version:
    """What runs this script."""
    assert Path(sys.prefix) == ROOT / ".venv", "run this with .venv/bin/python"
    return Version("new", ROOT)


def earlier_version(ref: str, tree: Path) -> Version:
    """Check `ref` out into `tree` and install it there, unless that was done before."""
    if not tree.is_dir():
        subprocess.run(["git", "clone", "--quiet", "--no-checkout", str(ROOT), str(tree)], check=True)
        subprocess.run(["git", "-C", str(tree), "checkout", "--quiet", "--detach", ref], check=True)
    uv = shutil.which("uv") or ROOT / "build" / "uv" / "bin" / "uv"
    subprocess.run(["make", "-C", str(tree), f"UV={uv}", ".venv/.installed"], check=True)
    return Version("old", tree)


class Site:
    """One store."""

    def __init__(self, folder: Path, urls: Mapping[str, str]) -> None:
        """`urls` are TDMR_…_URL, empty for the embedded kind."""
        self.folder, self.urls = folder, urls
        self.embedded = not urls
        folder.mkdir(parents=True)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TDMR_")},
            **urls,
            "TDMR_HUB": "false",
            "TDMR_DEVICE": "cpu",
            "TDMR_STOP_GRACE_SECONDS": "30",
        }

    @contextmanager
    def running(self, version: Version, roles: Sequence[str] = ROLES) -> Iterator[Client]:
        """The service until the end of the block; a client of its API if that is among the roles."""
        with self.processes(dict.fromkeys(roles, version)) as client:
            yield client

    @contextmanager
    def processes(self, versions: Mapping[str, Version]) -> Iterator[Client]:
        """The same with a version for each role; a role's name may go on after a hyphen, so there can be several."""
        port = free_port()
        with ExitStack() as stack:
            if not self.embedded:
                migrating = max(versions.values(), key=lambda version: version.name == "new")
                subprocess.run(migrating.command("migrate"), env=self._environment, cwd=migrating.tree, check=True)
            for name, version, arguments in self._commands(versions, port):
                home = self.folder / ("home" if self.embedded else f"home-{name}")
                environment = self._environment | {"TDMR_HOME": str(home)}
                log = self.folder / f"{name}-{version.name}.log"
                process = Supervised(name, version.command(*arguments), environment, log, version.tree)
                process.start()
                stack.callback(process.stop, STOP_SECONDS)
            http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=REQUEST_SECONDS)
            client = Client(stack.enter_context(http))
            _wait_for_answer(http)
            yield client

    def _commands(self, versions: Mapping[str, Version], port: int) -> Iterator[tuple[str, Version, list[str]]]:
        if self.embedded and set(versions) == set(ROLES):
            yield "up", versions[API], ["up", f"--port={port}"]
            return
        for name, version in versions.items():
            role = name.partition("-")[0]
            yield name, version, ["api", f"--port={port}"] if role == API else ["worker", f"--queue={role}"]

    def keep_copy(self, target: Path) -> None:
        """Everything of the stopped service: its folder, and a dump of the database where that is Postgres."""
        shutil.copytree(self.folder, target, dirs_exist_ok=True)
        if not self.embedded:
            url = make_url(self.urls["TDMR_DATABASE_URL"])
            schema = str(url.query["options"]).rpartition("=")[2]
            plain = url.set(drivername="postgresql", query={}).render_as_string(hide_password=False)
            dump = ["pg_dump", f"--schema={schema}", "--format=custom", f"--file={target / 'database.dump'}", plain]
            subprocess.run(dump, check=True)


def _wait_for_answer(http: httpx.Client) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            http.get("/healthz")
            return
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
