"""The demo's side of the API: start the embedded service, and talk to it as any client would."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from app.domain.files import sha256_file

START_SECONDS = 120.0
STOP_SECONDS = 60.0
POLL_SECONDS = 0.5
TERMINAL = frozenset({"succeeded", "failed", "cancelled"})


class DemoError(Exception):
    """The demo cannot go on; the message is for the person in front of it."""


@contextmanager
def running_service(home: Path, log: Path) -> Iterator["Client"]:
    """`tdmr up` on a free port, its log in `log`; stopped at the end."""
    environment = os.environ | {"TDMR_HOME": str(home)}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "up", "--port=0"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            with httpx.Client(base_url=_wait_for_url(process, home / "service.json", log), timeout=60) as http:
                yield Client(http)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _wait_for_url(process: "subprocess.Popen[bytes]", service_file: Path, log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoError(f"The service did not start. Its log, {log.name}, says why.")
        if service_file.is_file():
            return str(json.loads(service_file.read_text())["url"])
        time.sleep(POLL_SECONDS)
    raise DemoError(f"The service did not come up within {START_SECONDS:.0f} s. See its log, {log.name}.")


class Client:
    """The few calls that the demo needs."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    @property
    def url(self) -> str:
        return str(self.http.base_url).rstrip("/")

    def wait_for_worker(self) -> None:
        """Until a worker has said what it can build."""
        deadline = time.monotonic() + START_SECONDS
        while self.http.get("/v1/students", params={"limit": 1}).status_code != httpx.codes.OK:
            if time.monotonic() > deadline:
                raise DemoError("No worker has announced itself; see the service's log.")
            time.sleep(POLL_SECONDS)

    def upload(self, archive: Path) -> dict[str, Any]:
        """Upload, and wait for the import's verdict."""
        with archive.open("rb") as file:
            answer = self.http.post("/v1/datasets", files={"file": (archive.name, file, "application/zip")})
        dataset = _checked(answer)
        while dataset["state"] == "validating":
            time.sleep(POLL_SECONDS)
            dataset = self.get(f"/v1/datasets/{dataset['id']}")
        if dataset["state"] != "ready":
            raise DemoError(f"The data set was rejected: {dataset['error']['detail']}")
        return dataset

    def submit(self, spec: dict[str, Any]) -> dict[str, Any]:
        return _checked(self.http.post("/v1/jobs", json=spec))

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        return _checked(self.http.get(path, params=params))

    def download(self, job_id: str, folder: Path) -> list[str]:
        """Every artefact into `folder`, each checked against the SHA-256 that the API names. Returns their names."""
        folder.mkdir(parents=True, exist_ok=True)
        names = []
        for artifact in self.get(f"/v1/jobs/{job_id}/artifacts")["data"]:
            target = folder / artifact["name"]
            target.parent.mkdir(exist_ok=True)
            with (
                self.http.stream("GET", f"/v1/jobs/{job_id}/artifacts/{artifact['name']}") as answer,
                target.open("wb") as file,
            ):
                answer.raise_for_status()
                for chunk in answer.iter_bytes():
                    file.write(chunk)
            if sha256_file(target) != artifact["sha256"]:
                raise DemoError(f"{artifact['name']} arrived damaged.")
            names.append(artifact["name"])
        return names


def _checked(answer: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    if answer.is_error:
        raise DemoError(" ".join(filter(None, [body.get("detail") or body.get("title"), body.get("hint")])))
    return body
