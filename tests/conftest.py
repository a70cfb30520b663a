"""Shared fixtures: real databases, real files, nothing that two tests share."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from app.db.engine import Store
from app.db.migrate import upgrade
from app.settings import Settings

POSTGRES_URL = os.environ.get("TDMR_TEST_POSTGRES_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test")


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """An empty schema on the test server, dropped afterwards."""
    schema = f"t_{uuid.uuid4().hex}"
    engine = create_engine(POSTGRES_URL, poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
    except OperationalError:
        if os.environ.get("TDMR_REQUIRE_SERVICES") == "1":
            raise
        pytest.skip("no Postgres answers at TDMR_TEST_POSTGRES_URL")
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
