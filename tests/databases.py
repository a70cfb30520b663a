"""Databases as the migrations leave them, made in a tenth of the time: the migrations themselves run once a process, on
either kind, and what they have done is repeated (tests/integration/storage/test_migrations.py runs them each time)."""

import atexit
import functools
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine, event, make_url

from app.db.migrate import upgrade
from app.db.models import Base
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
    if _schema_of(url) not in _migrated:
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
    schema = _create_schema()
    yield _url(schema)
    _drop(schema)


@contextmanager
def migrated_schema() -> Iterator[str]:
    """The URL of one with the tables of this version, empty. No other test uses it at the same time.

    Making and dropping 23 tables takes half a second, emptying them some milliseconds: a schema that a test has left as
    it was, and to which nobody is connected any more, is emptied and serves another test of this process.
    """
    if _free:
        schema = _free.pop()
    else:
        schema = _create_schema()
        migrate(_url(schema))
        _migrated[schema] = _shape(schema)
    yield _url(schema)
    if _migrated[schema] == _shape(schema) and _is_left_alone(schema):
        _empty(schema)
        _free.append(schema)
    else:
        del _migrated[schema]
        _drop(schema)


def drop_kept_schemas() -> None:
    """To be called when this process has no more tests to run."""
    while _free:
        _drop(_free.pop())


_free: list[str] = []
_migrated: dict[str, str] = {}
"""By schema that is kept: its shape."""
_LEAVE_SECONDS = 1.0
"""In which a server notices that a connection has been closed."""


def _create_schema() -> str:
    schema = f"t_{uuid.uuid4().hex}"
    try:
        with _server() as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
    except psycopg.OperationalError:
        lacking("no Postgres answers at TDMR_TEST_POSTGRES_URL")
    return schema


def _drop(schema: str) -> None:
    with _server() as connection:
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


def _url(schema: str) -> str:
    # a test's rows need not outlive the server, so no commit waits for the disk
    options = f"-csearch_path%3D{schema}%20-csynchronous_commit%3Doff"
    return f"{POSTGRES_URL}?application_name={schema}&options={options}"


def _schema_of(url: str) -> str:
    return str(make_url(url).query.get("application_name"))


def _server() -> psycopg.Connection[tuple[Any, ...]]:
    """Commits each statement by itself."""
    parsed = make_url(POSTGRES_URL)
    return psycopg.connect(**create_engine(parsed).dialect.create_connect_args(parsed)[1], autocommit=True)


def _shape(schema: str) -> str:
    """Digest of its tables, indexes, sequences and their columns."""
    with _server() as connection:
        (digest,) = connection.execute(
            "SELECT md5(string_agg(concat_ws(' ', relname, relkind, attname, atttypid, attnotnull), ',' "
            "ORDER BY relname, attnum)) FROM pg_class LEFT JOIN pg_attribute ON attrelid = pg_class.oid "
            "WHERE relnamespace = %s::regnamespace",
            [schema],
        ).fetchone() or ("",)
    return str(digest)


def _is_left_alone(schema: str) -> bool:
    """Whether nobody is connected who might still write."""
    give_up = time.monotonic() + _LEAVE_SECONDS
    with _server() as connection:
        asked = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s"
        while connection.execute(asked, [schema]).fetchone():
            if time.monotonic() > give_up:
                return False
            time.sleep(0.01)
    return True


def _empty(schema: str) -> None:
    with _server() as connection, connection.transaction():
        connection.execute(f"SET LOCAL search_path TO {schema}")
        for table in reversed(Base.metadata.sorted_tables):  # what refers to others goes first
            connection.execute(f'DELETE FROM "{table.name}"'.encode())
