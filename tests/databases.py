"""Databases as the migrations leave them, made in a tenth of the time: the migrations themselves run once a process, on
either kind, and what they have done is repeated (tests/integration/test_migrations.py runs them each time)."""

import atexit
import functools
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import Engine, NullPool, create_engine, event, make_url, text
from sqlalchemy.exc import OperationalError

from app.db.migrate import upgrade
from tests.lacking import lacking

POSTGRES_URL = os.environ.get("TDMR_TEST_POSTGRES_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test")


def migrate(url: str) -> None:
    """Bring an empty database to the schema of this version. One with tables already gets what it lacks."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        assert parsed.database
        path = Path(parsed.database)
        if path.exists():
            upgrade(url)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_migrated_file(), path)
        return
    with psycopg.connect(**create_engine(url).dialect.create_connect_args(parsed)[1]) as connection:
        (found,) = connection.execute("SELECT to_regclass('alembic_version')").fetchone() or (None,)
        if found is None:
            connection.execute(_script().encode())
            return
    upgrade(url)


@functools.cache
def _migrated_file() -> Path:
    folder = tempfile.mkdtemp(prefix="tdmr-migrated-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder, "tdmr.db")
    upgrade(f"sqlite:///{path}")
    return path


@functools.cache
def _script() -> str:
    """All statements of the migrations. On an empty database what they read changes nothing."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if not statement.lstrip().upper().startswith("SELECT"):
            assert not parameters, "it would have to be written into the statement"
            statements.append(statement)

    with empty_schema() as url:
        event.listen(Engine, "before_cursor_execute", note)
        try:
            upgrade(url)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
    return ";\n".join(statements)


@contextmanager
def empty_schema() -> Iterator[str]:
    """The URL of one on the test server, dropped afterwards."""
    schema = f"t_{uuid.uuid4().hex}"
    engine = create_engine(POSTGRES_URL, poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
    except OperationalError:
        lacking("no Postgres answers at TDMR_TEST_POSTGRES_URL")
    # a test's rows need not outlive the server, so no commit waits for the disk
    yield f"{POSTGRES_URL}?options=-csearch_path%3D{schema}%20-csynchronous_commit%3Doff"
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
