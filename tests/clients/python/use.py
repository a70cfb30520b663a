# ruff: noqa: T201 (printing is its task)
"""What a user writes with the client that openapi-python-client makes of the document."""

import hashlib
import os
import time
from pathlib import Path

import httpx
from tdmr_client import AuthenticatedClient
from tdmr_client.api.datasets import create_dataset, get_dataset
from tdmr_client.api.jobs import create_job, get_job
from tdmr_client.api.results import download_job_artifact, list_job_artifacts
from tdmr_client.models import (
    ArtifactList,
    Dataset,
    DatasetState,
    DatasetUpload,
    DistillConfig,
    Job,
    JobCreate,
    JobState,
    Problem,
    ViewConfig,
)
from tdmr_client.types import File

client = AuthenticatedClient(os.environ["SERVICE"], os.environ["KEY"], timeout=httpx.Timeout(240))


def upload(archive: Path) -> Dataset:
    with archive.open("rb") as file:
        body = DatasetUpload(file=File(file, archive.name, "application/zip"))
        dataset = create_dataset.sync(client=client, body=body)
    while isinstance(dataset, Dataset) and dataset.state is DatasetState.VALIDATING:
        dataset = get_dataset.sync(dataset.id, client=client, wait=5)
    assert isinstance(dataset, Dataset), dataset
    assert dataset.state is DatasetState.READY, dataset.error
    return dataset


def train(dataset: Dataset) -> Job:
    spec = JobCreate(
        dataset_id=dataset.id,
        teacher="resnet10t.glyphs62",
        student="mobilenetv3_small_050",
        image_size=32,
        views=ViewConfig(hflip=False, min_scale=0.75),
        distill=DistillConfig(image_steps=24000),
    )
    job = create_job.sync(client=client, body=spec, idempotency_key="my-first-job")
    while isinstance(job, Job) and job.finished_at is None:
        time.sleep(0.1)
        job = get_job.sync(job.id, client=client, wait=5)
    assert isinstance(job, Job), job
    assert job.state is JobState.SUCCEEDED, job.error
    return job


def download(job: Job, name: str) -> bytes:
    file = download_job_artifact.sync(job.id, name, client=client)
    assert isinstance(file, File), file
    return file.payload.read()


dataset = upload(Path(os.environ["ARCHIVE"]))
assert dataset.sha256 == os.environ["ARCHIVE_SHA256"]
job = train(dataset)
listed = list_job_artifacts.sync(job.id, client=client)
assert isinstance(listed, ArtifactList), listed
(wanted,) = [file for file in listed.data if file.name == "student.onnx"]
student = download(job, wanted.name)
assert hashlib.sha256(student).hexdigest() == wanted.sha256
missing = get_job.sync("job_0", client=client)
assert isinstance(missing, Problem) and missing.code == "not_found", missing
print(f"downloaded {len(student)} bytes")
