"""Shared fixtures: real databases, real files, nothing that two tests share."""

import asyncio
import gc
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import redis

from app.db.engine import Store
from app.settings import Settings
from tests.databases import drop_kept_schemas, empty_schema, migrate, migrated_schema
from tests.lacking import lacking

# Tests run side by side, one a core: more threads than that would wait for each other. Children inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# an idle worker would measure its machine, beside the tests
os.environ.setdefault("TDMR_MEASURE", "false")
# what a student begins from must not depend on what the network gives
os.environ.setdefault("TDMR_HUB", "false")

REDIS_SERVER = os.environ.get("TDMR_TEST_REDIS_URL", "redis://127.0.0.1:6379")
REDIS_DATABASES = 8
S3_START_SECONDS = 60

# What is imported and collected is there for as long as the tests run: looking through it for garbage, again and again,
# took a tenth of the collection and a thirtieth of the tests.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_sessionfinish() -> None:
    gc.unfreeze()
    drop_kept_schemas()


@pytest.fixture(autouse=True)
def no_event_loop_is_left() -> Iterator[None]:
    """One that runs on after its test would fail another test's `asyncio.run`, wherever that is."""
    yield
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A schema on the test server that no other test uses; with the tables that a `store` has, where the test has one,
    else without any."""
    with migrated_schema() if "store" in request.fixturenames else empty_schema() as url:
        yield url


@pytest.fixture(scope="module")
def module_postgres_url() -> Iterator[str]:
    """As `postgres_url`, for all tests of a module."""
    with empty_schema() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind; no table yet."""
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path / 'store' / 'tdmr.db'}"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """The job store of this version on either database."""
    migrate(store_url)
    store = Store(store_url)
    yield store
    store.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The embedded defaults in a folder of the test's own."""
    return Settings(home=tmp_path / "home")


@pytest.fixture
def redis_url() -> Iterator[str]:
    """An empty Redis database that no test running at the same time uses (of 8..15), emptied afterwards."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    assert number < REDIS_DATABASES, "more test processes than Redis databases set aside for them"
    url = f"{REDIS_SERVER}/{REDIS_DATABASES + number}"
    client = redis.Redis.from_url(url)
    try:
        client.flushdb()
    except redis.ConnectionError:
        lacking("no Redis answers at TDMR_TEST_REDIS_URL")
    yield url
    client.flushdb()
    client.close()


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
    deadline = time.monotonic() + S3_START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"Running on (http://\S+)", log.read_text()):
            return found[1]
        time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not start:\n{log.read_text()}")
