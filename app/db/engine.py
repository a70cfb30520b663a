"""Engines and sessions for SQLite (WAL) and Postgres."""

import functools
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.errors import IdleInTransactionSessionTimeout, ReadOnlySqlTransaction
from sqlalchemy import Connection, Dialect, Engine, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import ConnectionPoolEntry

SQLITE_BUSY_SECONDS = 7
"""Shorter than `request_seconds`, so that nothing is written for a client that was told to try again."""
POOL_SECONDS = 5
POSTGRES_CONNECT_SECONDS = 5
POSTGRES_SILENCE_SECONDS = 20
"""A server whose machine or network is gone says nothing, and Linux itself would wait a quarter of an hour for it. A
frozen server on a living machine is not meant: its kernel answers."""
POSTGRES_CONNECTIONS = 20
"""Kept open by a process. As many more are opened when requests come thick, but each only for one of them, and opening
one takes longer than most of what is asked."""
POSTGRES_IDLE_SECONDS = 30
"""A process that is frozen in the middle of a transaction keeps its locks no longer than this."""
POSTGRES_TRUSTED_SECONDS = 1.0
"""A connection that was idle for longer is asked whether it still stands: a database that was restarted costs a
reconnect, not a failed request. Asking each time would be every second way to the server and back of a request that
looks up one job."""
_LAST_USED = "tdmr_last_used"
_LOCK_NOT_AVAILABLE = "55P03"


class Store:
    """Sessions on one database.

    `write()` takes SQLite's write lock at its first statement (BEGIN IMMEDIATE): a transaction that reads first and
    writes later would otherwise fail with "database is locked" instead of waiting its turn.

    `read()` opens no transaction on Postgres. There each statement of one sees what was committed before it either way
    (READ COMMITTED), and BEGIN and ROLLBACK would be two more ways to the server and back for each request.
    """

    def __init__(self, url: str, **engine_options: Any) -> None:
        self.engine = _make_engine(url, **engine_options)
        self._writer = self.engine.execution_options(tdmr_write=True)
        on_sqlite = self.engine.dialect.name == "sqlite"
        self._reader = self.engine if on_sqlite else self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only reads: what it changes is not kept on SQLite, and must not be tried."""
        with Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at the end, or rolls back on an error."""
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        self.engine.dispose()


class LockTimeout(Exception):
    """Another transaction holds what this one needs, and has held it for all the time that was given."""


@contextmanager
def lock_timeout(session: Session, seconds: float) -> Iterator[None]:
    """Inside the block no statement waits longer for a lock. On SQLite the whole transaction has waited for its turn
    already, so there is nothing left to wait for.

    Raises:
        LockTimeout: the transaction must then be rolled back, or a savepoint that was set before.
    """
    if session.get_bind().dialect.name != "postgresql":
        yield
        return
    session.execute(text(f"SET LOCAL lock_timeout = '{seconds}s'"))
    try:
        yield
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise LockTimeout from error
    session.execute(text("SET LOCAL lock_timeout = DEFAULT"))


def insert(session: Session, table: type[DeclarativeBase]) -> Any:
    """An INSERT that has `on_conflict_do_update`, which both databases know and SQLAlchemy spells per dialect."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(table)


def _make_engine(url: str, **options: Any) -> Engine:
    options["hide_parameters"] = True  # errors are logged, and what is written may hold secrets
    if url.startswith("sqlite"):
        engine = create_engine(url, connect_args={"timeout": SQLITE_BUSY_SECONDS}, pool_timeout=POOL_SECONDS, **options)
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
        return engine
    arguments = {
        "connect_timeout": POSTGRES_CONNECT_SECONDS,
        # what was sent and is not acknowledged; then, while an answer is waited for, whether anybody is there
        "tcp_user_timeout": POSTGRES_SILENCE_SECONDS * 1000,
        "keepalives_idle": POSTGRES_SILENCE_SECONDS // 2,
        "keepalives_interval": POSTGRES_SILENCE_SECONDS // 4,
        "keepalives_count": 2,
    }
    pool = {
        "pool_size": POSTGRES_CONNECTIONS,
        "max_overflow": POSTGRES_CONNECTIONS,
        "pool_timeout": POOL_SECONDS,
    }
    engine = create_engine(url, connect_args=arguments, **(pool | options))
    event.listen(engine, "connect", _postgres_connect)
    event.listen(engine, "checkout", functools.partial(_postgres_checkout, engine.dialect))
    event.listen(engine, "checkin", _postgres_checkin)
    event.listen(engine, "handle_error", _postgres_error)
    return engine


def _postgres_connect(connection: psycopg.Connection[Any], record: ConnectionPoolEntry) -> None:
    # no transaction of ours waits for anything; whoever stops in one would hold up the reaper of its own job
    connection.execute(f"SET idle_in_transaction_session_timeout = '{POSTGRES_IDLE_SECONDS} s'")
    connection.commit()
    _postgres_checkin(connection, record)


def _postgres_checkin(_connection: psycopg.Connection[Any] | None, record: ConnectionPoolEntry) -> None:
    record.info[_LAST_USED] = time.monotonic()


def _postgres_checkout(
    dialect: Dialect, connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object
) -> None:
    if time.monotonic() - record.info[_LAST_USED] < POSTGRES_TRUSTED_SECONDS:
        return
    try:
        dialect.do_ping(connection)
    except psycopg.Error as error:
        raise InvalidatePoolError from error  # the pool then connects anew


def _postgres_error(context: ExceptionContext) -> None:
    # Whatever class psycopg files it under, this connection is of no more use: it is gone, or leads to a server that is
    # a standby since a failover. Another one may lead to the new primary.
    if isinstance(context.original_exception, (IdleInTransactionSessionTimeout, ReadOnlySqlTransaction)):
        context.is_disconnect = True
        raise OperationalError(context.statement, context.parameters, context.original_exception)


def _sqlite_connect(connection: sqlite3.Connection, _record: object) -> None:
    # pysqlite would begin transactions by itself, and not before DDL; _sqlite_begin does it instead
    connection.isolation_level = None
    cursor = connection.cursor()
    _write_ahead(cursor)
    cursor.execute("PRAGMA synchronous=FULL")  # an acknowledged job survives a power cut
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    # The file keeps the mode, so only its first connection has to change it. That needs the file to itself, and SQLite
    # answers SQLITE_BUSY at once where it would wait for any other lock.
    give_up = time.monotonic() + SQLITE_BUSY_SECONDS
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone() == ("wal",):
                return
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def _sqlite_begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("tdmr_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
