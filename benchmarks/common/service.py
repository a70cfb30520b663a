"""The API as it stands, as dictionaries: for versions and for answers that the typed client does not know."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from app.domain.files import sha256_file
from worker.demo.service import START_SECONDS, running_service

POLL_SECONDS = 0.5
TERMINAL = frozenset({"succeeded", "failed", "cancelled"})


class ServiceError(Exception):
    """An answer that is an error, in the service's words."""


@contextmanager
def running_client(home: Path, log: Path) -> Iterator["Client"]:
    """A client of an embedded service of its own."""
    with running_service(home, log) as url, httpx.Client(base_url=url, timeout=60) as http:
        yield Client(http)


class Client:
    """The few calls that a run needs."""

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
                raise ServiceError("No worker has announced itself.")
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
            raise ServiceError(f"The data set was rejected: {dataset['error']['detail']}")
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
                raise ServiceError(f"{artifact['name']} arrived damaged.")
            names.append(artifact["name"])
        return names


def _checked(answer: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    if answer.is_error:
        raise ServiceError(" ".join(filter(None, [body.get("detail") or body.get("title"), body.get("hint")])))
    return body
