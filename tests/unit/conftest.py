"""What unit tests share: an object store, as a process of its own; and which of them need torch."""

import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

START_SECONDS = 60
NEED_TORCH = (
    "app/ingest/test_importer.py",
    "benchmarks/common/test_training.py",
    "benchmarks/methods",
    "benchmarks/models",
    "worker/models",
    "worker/test_verify.py",
    "worker/training",
)
# `make test-unit` on a fresh clone runs all the others, without the 2 GB
collect_ignore = [] if importlib.util.find_spec("torch") else list(NEED_TORCH)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "s3_server" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")  # it starts a service


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an S3-compatible server that keeps everything in memory (moto's)."""
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        yield _address(process, log)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Its URL, while the environment says what a process needs for using it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # they remember the address of former tests
    yield s3_server
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"Running on (http://\S+)", log.read_text()):
            return found[1]
        time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not start:\n{log.read_text()}")
