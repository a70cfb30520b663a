"""What a service tells of its jobs: everything that an upgrade must not change."""

import hashlib
from collections.abc import Iterator
from typing import Any

from benchmarks.common.service import Client

Facts = dict[str, Any]


def of_dataset(client: Client, dataset_id: str) -> Facts:
    path = f"/v1/datasets/{dataset_id}"
    return {"data set": client.get(path), "report": client.get(f"{path}/report")}


def of_job(client: Client, job_id: str, image: bytes | None = None) -> Facts:
    """With every file by its SHA-256 if the job has succeeded, and what its student says of `image`."""
    path = f"/v1/jobs/{job_id}"
    facts: Facts = {
        "job": client.get(path),
        "events": client.get(f"{path}/events", limit=100)["data"],
        "curves": client.get(f"{path}/metrics")["points"],
    }
    if facts["job"]["state"] == "succeeded":
        listed = client.get(f"{path}/artifacts")["data"]
        facts |= {
            "files": listed,
            "hashes": {file["name"]: _sha256(client, f"{path}/artifacts/{file['name']}") for file in listed},
            "zip": _sha256(client, f"{path}/artifacts.zip"),
            "evaluation": client.get(f"{path}/evaluation"),
        }
        told = {file["name"]: file["sha256"] for file in listed}
        assert facts["hashes"] == told, "a file is not what the list tells"
    if image is not None:
        answer = client.http.post(f"{path}/predict", content=image, headers={"Content-Type": "image/png"})
        answer.raise_for_status()
        facts["prediction"] = answer.json() | {"latency_ms": None}
    return facts


def differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """What was told before and is told otherwise now. What is told in addition is no difference."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name, value in old.items():
            place = f"{where}.{name}" if where else str(name)
            if name not in new:
                yield f"{place} is no longer told (was {value!r:.80})"
            else:
                yield from differences(value, new[name], place)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from differences(before, after, f"{where}[{number}]")
    elif old != new:
        yield f"{where}: {old!r:.80} became {new!r:.80}"


def _sha256(client: Client, path: str) -> str:
    digest = hashlib.sha256()
    with client.http.stream("GET", path) as answer:
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            digest.update(piece)
    return digest.hexdigest()
