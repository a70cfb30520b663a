"""What clients do meanwhile: import data sets, run jobs, look at everything. One thread each."""

import io
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx
import numpy as np
from PIL import Image

from app.domain.states import TERMINAL_JOB_STATES
from benchmarks.service.soak.client import Client

CLASSES, PER_CLASS, SIDE = 3, 20, 32
BAD_EVERY, CANCEL_EVERY, PAUSE_EVERY = 6, 8, 5
SPEC: dict[str, Any] = {
    "method": "tdmr",
    "teacher": "resnet10t.glyphs62",
    "student": "test_resnet",
    "pretrained": False,
    "image_size": SIDE,
    "views": {"count": 2, "mode": "cached"},
    "reprogram": {"steps": 30},
    "distill": {"image_steps": 300, "batch_size": 10},
    "export": {"formats": ["onnx"], "measure": False},
}
"""A job that has every stage and mostly consists of starting up: what is told and stored is what is tried here."""


@dataclass(frozen=True)
class Pace:
    """Seconds between what clients do: as slow as leaves most of a core to others."""

    imports: float = 60
    jobs: float = 20
    looks: float = 2


def threads(make_client: Callable[[str], Client], pace: Pace) -> list[threading.Thread]:
    """Not started yet; each ends soon after its client's `over` is set."""
    work = {"imports": import_datasets, "jobs": run_jobs, "looks": look}

    return [
        threading.Thread(target=do, args=(make_client(name), getattr(pace, name)), name=name)
        for name, do in work.items()
    ]


def import_datasets(client: Client, pause: float) -> None:
    """Small archives; every sixth holds no image."""
    for number in count(1):
        bad = number % BAD_EVERY == 0
        content = _archive({"notes.txt": b"no image"} if bad else _noise(client.chance.randrange(2**31)))
        headers = {"Content-Type": "application/zip"}
        answer = client.ask("POST", "/v1/datasets", params={"name": f"{number}.zip"}, content=content, headers=headers)
        # without an answer it may have been accepted; then it has to end well all the same, but nobody was told so
        if answer is not None and answer.status_code == httpx.codes.ACCEPTED:
            client.ledger.accept_dataset(answer.json()["id"], "rejected" if bad else "ready")
        elif answer is not None:
            client.ledger.find(f"POST /v1/datasets: {answer.status_code} {answer.text[:200]}")
        if client.over.wait(pause if answer is not None else 1):
            return


def run_jobs(client: Client, pause: float) -> None:
    """One after another; every eighth is cancelled, every fifth paused for a while."""
    for number in count(1):
        dataset_id = _ready_dataset(client)
        if dataset_id is None:
            return
        answer = client.insist(
            "POST",
            "/v1/jobs",
            json=SPEC | {"dataset_id": dataset_id, "seed": number},
            headers={"Idempotency-Key": f"soak-{number}"},
        )
        if answer.status_code != httpx.codes.ACCEPTED:
            client.ledger.find(f"POST /v1/jobs: {answer.status_code} {answer.text[:200]}")
            continue
        job_id = answer.json()["id"]
        cancelled = number % CANCEL_EVERY == 0
        client.ledger.accept_job(job_id, "cancelled" if cancelled else "succeeded")
        if cancelled:
            client.over.wait(client.chance.uniform(0, 10))
            _order(client, job_id, "cancel")
        elif number % PAUSE_EVERY == 0:
            client.over.wait(client.chance.uniform(0, 20))
            if _order(client, job_id, "pause"):
                client.over.wait(10)
                _order(client, job_id, "resume")
        _wait_for_end(client, job_id)
        if client.over.wait(pause):
            return


def look(client: Client, pause: float) -> None:
    """At something by chance."""
    while not client.over.wait(pause):
        jobs, datasets = client.ledger.known_jobs(), client.ledger.known_datasets()
        if jobs:
            # mostly at the latest ones, in which something happens
            job_id = client.chance.choice(jobs[-3:] if client.chance.random() < 0.7 else jobs)
            client.chance.choice((_look_at_job, _look_at_events, _look_at_curves, _look_at_files))(client, job_id)
        if datasets and client.chance.random() < 0.2:
            client.get("/v1/datasets", limit=10)
            client.get("/v1/jobs", limit=10)
            client.get(f"/v1/datasets/{client.chance.choice(datasets)}")


def _look_at_job(client: Client, job_id: str) -> None:
    # two looks in a row must not go back, whichever host answers
    for _ in range(2):
        if (job := client.get(f"/v1/jobs/{job_id}")) is not None:
            client.ledger.see_progress(job_id, job["progress"])


def _look_at_events(client: Client, job_id: str) -> None:
    events = client.get(f"/v1/jobs/{job_id}/events", limit=100)
    if events is None:
        return
    numbers = [event["seq"] for event in events["data"]]
    if numbers != list(range(1, len(numbers) + 1)):
        client.ledger.find(f"{job_id}: its events are numbered {numbers}")


def _look_at_curves(client: Client, job_id: str) -> None:
    client.get(f"/v1/jobs/{job_id}/metrics")


def _look_at_files(client: Client, job_id: str) -> None:
    job = client.get(f"/v1/jobs/{job_id}")
    if job is not None and job["state"] == "succeeded":
        client.check_files(job_id)
        client.get(f"/v1/jobs/{job_id}/evaluation")


def _ready_dataset(client: Client) -> str | None:
    """One of the latest; None where the soak is over before there is any."""
    while not client.over.wait(1):
        for dataset_id in reversed(client.ledger.known_datasets()[-5:]):
            dataset = client.get(f"/v1/datasets/{dataset_id}")
            if dataset is not None and dataset["state"] == "ready":
                return dataset_id
    return None


def _order(client: Client, job_id: str, action: str) -> bool:
    """Whether the job could still be cancelled, paused or resumed; if it had ended, it keeps its end."""
    answer = client.insist("POST", f"/v1/jobs/{job_id}/{action}")
    if answer.is_success:
        client.ledger.count(action)
        return True
    job = client.insist("GET", f"/v1/jobs/{job_id}").json()
    resumed = action == "resume" and job["state"] != "paused"  # by a request whose answer was lost
    if job["state"] not in TERMINAL_JOB_STATES and not resumed:
        client.ledger.find(f"{action} of {job_id}, which is {job['state']}: {answer.status_code} {answer.text[:200]}")
    elif action == "cancel" and job["state"] == "succeeded":
        client.ledger.accept_job(job_id, "succeeded")  # it was faster
    return False


def _wait_for_end(client: Client, job_id: str) -> None:
    began = time.monotonic()
    while not client.over.wait(3):
        job = client.get(f"/v1/jobs/{job_id}")
        if job is None:
            continue
        client.ledger.see_progress(job_id, job["progress"])
        if job["state"] in TERMINAL_JOB_STATES:
            client.ledger.count("seconds of jobs", round(time.monotonic() - began))
            return


def _noise(seed: int) -> dict[str, bytes]:
    """Pictures that can be told apart by their brightness, no two alike."""
    chance, members = np.random.default_rng(seed), {}
    for label in range(CLASSES):
        for number in range(PER_CLASS):
            pixels = chance.integers(60 * label, 60 * label + 100, (SIDE, SIDE, 3), dtype=np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            members[f"{label}/{number}.png"] = buffer.getvalue()
    return members


def _archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()
