"""Shared fixtures: real databases, real files, nothing that two tests share."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from app.db.engine import Store
from app.db.migrate import upgrade
from app.settings import Settings
from tests.support import lacking

# Tests run side by side, one a core: more threads than that would wait for each other. Children inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# an idle worker would measure its machine, beside the tests
os.environ.setdefault("TDMR_MEASURE", "false")

POSTGRES_URL = os.environ.get("TDMR_TEST_POSTGRES_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test")
REDIS_SERVER = os.environ.get("TDMR_TEST_REDIS_URL", "redis://127.0.0.1:6379")
REDIS_DATABASES = 8


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """An empty schema on the test server, dropped afterwards."""
    with empty_schema() as url:
        yield url


@pytest.fixture(scope="module")
def module_postgres_url() -> Iterator[str]:
    """As `postgres_url`, for all tests of a module."""
    with empty_schema() as url:
        yield url


@contextmanager
def empty_schema() -> Iterator[str]:
    schema = f"t_{uuid.uuid4().hex}"
    engine = create_engine(POSTGRES_URL, poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
    except OperationalError:
        lacking("no Postgres answers at TDMR_TEST_POSTGRES_URL")
    yield f"{POSTGRES_URL}?options=-csearch_path%3D{schema}"
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))


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
    upgrade(store_url)
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
