"""Engines and sessions for SQLite (WAL) and Postgres."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.orm import Session

SQLITE_BUSY_SECONDS = 10
POSTGRES_CONNECT_SECONDS = 5


class Store:
    """Sessions on one database.

    `write()` takes SQLite's write lock at its first statement (BEGIN IMMEDIATE): a transaction that reads first and
    writes later would otherwise fail with "database is locked" instead of waiting its turn.
    """

    def __init__(self, url: str, **engine_options: Any) -> None:
        self.engine = _make_engine(url, **engine_options)
        self._writer = self.engine.execution_options(tdmr_write=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that is rolled back at the end."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at the end, or rolls back on an error."""
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        self.engine.dispose()


def _make_engine(url: str, **options: Any) -> Engine:
    if url.startswith("sqlite"):
        engine = create_engine(url, connect_args={"timeout": SQLITE_BUSY_SECONDS}, **options)
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
        return engine
    # pre_ping: a database that was restarted costs one reconnect, not one failed request per pooled connection
    arguments = {"connect_timeout": POSTGRES_CONNECT_SECONDS}
    return create_engine(url, connect_args=arguments, pool_pre_ping=True, pool_size=10, max_overflow=20, **options)


def _sqlite_connect(connection: sqlite3.Connection, _record: object) -> None:
    # pysqlite would begin transactions by itself, and not before DDL; _sqlite_begin does it instead
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # an acknowledged job survives a power cut
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("tdmr_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
