"""The API as a patient client uses it while its processes are killed: what is away is asked again."""

import hashlib
import random
import threading
import time
from collections.abc import Sequence
from typing import Any

import httpx

from benchmarks.service.soak.ledger import Ledger
from benchmarks.service.soak.stack import KEY

REQUEST_SECONDS = 30.0
RETRY_SECONDS = 1.0
GIVE_UP_SECONDS = 300.0


class Client:
    """For one thread. Each request goes to one of the hosts by chance, as behind a proxy that asks nobody's health."""

    def __init__(self, urls: Sequence[str], ledger: Ledger, over: threading.Event, seed: str) -> None:
        self.ledger, self.over, self.chance = ledger, over, random.Random(seed)
        self._urls = urls
        self._http = httpx.Client(timeout=REQUEST_SECONDS, headers={"Authorization": f"Bearer {KEY}"})

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """None where the service is away: no connection, or 503. Another 5xx is a finding."""
        try:
            answer = self._http.request(method, self.chance.choice(self._urls) + path, **options)
        except httpx.TransportError:
            self.ledger.count("no answer")
            return None
        self.ledger.count("answers")
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            self.ledger.count("503")
            if "Retry-After" not in answer.headers:
                self.ledger.find(f"{method} {path}: 503 without Retry-After")
            return None
        if answer.status_code >= 500:
            self.ledger.find(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
            return None
        return answer

    def insist(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask until there is an answer.

        Raises:
            TimeoutError: there is none for minutes.
        """
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while (answer := self.ask(method, path, **options)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method} {path} has had no answer for {GIVE_UP_SECONDS:.0f} s")
            time.sleep(RETRY_SECONDS)
        return answer

    def get(self, path: str, **params: Any) -> dict[str, Any] | None:
        """The JSON; None where the service is away. Any answer but 200 is a finding."""
        answer = self.ask("GET", path, params=params)
        if answer is None:
            return None
        if not answer.is_success:
            self.ledger.find(f"GET {path}: {answer.status_code} {answer.text[:200]}")
            return None
        body: dict[str, Any] = answer.json()
        return body

    def check_files(self, job_id: str) -> bool:
        """Download every artefact of a job and compare it with what is told of it. False: the service is away."""
        listed = self.get(f"/v1/jobs/{job_id}/artifacts")
        if listed is None:
            return False
        for artifact in listed["data"]:
            name = artifact["name"]
            answer = self.ask("GET", f"/v1/jobs/{job_id}/artifacts/{name}")
            if answer is None:
                return False
            whole = len(answer.content) == artifact["bytes"]
            if not (whole and hashlib.sha256(answer.content).hexdigest() == artifact["sha256"]):
                self.ledger.find(f"{job_id}: {name} ({answer.status_code}) is not what the list tells")
            self.ledger.count("files checked")
            self.ledger.count("bytes checked", len(answer.content))
        return True
