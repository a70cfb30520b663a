"""What one process does to another through the database."""

import os
import socket
import sqlite3
import threading
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.db import engine
from app.db.engine import Store


class TestPostgres:
    def test_a_process_that_stops_inside_a_transaction_loses_its_locks(
        self, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine, "POSTGRES_IDLE_SECONDS", 1)
        stopped, other = Store(postgres_url), Store(postgres_url)
        with other.write() as session:
            session.execute(text("CREATE TABLE numbers (n int)"))
            session.execute(text("INSERT INTO numbers VALUES (1)"))

        with pytest.raises(OperationalError), stopped.write() as session:
            session.execute(text("UPDATE numbers SET n = 2"))
            with other.write() as second:
                second.execute(text("UPDATE numbers SET n = 3"))  # waits for the lock, which nobody gives back

        with other.read() as session:
            assert session.scalar(text("SELECT n FROM numbers")) == 3
        stopped.close()
        other.close()

    def test_a_server_that_has_vanished_is_given_up_within_seconds(self, postgres_url: str) -> None:
        store = Store(postgres_url)
        with store.engine.connect() as connection:
            driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
            with socket.socket(fileno=os.dup(driver.fileno())) as wire:
                asked = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
                again = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
                times = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
                assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert asked + again * times <= engine.POSTGRES_SILENCE_SECONDS
                milliseconds = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
                assert 0 < milliseconds <= engine.POSTGRES_SILENCE_SECONDS * 1000
        store.close()

    def test_connections_that_lay_idle_over_a_restart_fail_no_request(
        self, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine, "POSTGRES_TRUSTED_SECONDS", 0)
        store, other = Store(postgres_url), Store(postgres_url)
        with store.write() as session, store.write() as second:  # two connections in the pool
            pids = [s.scalar(text("SELECT pg_backend_pid()")) for s in (session, second)]
        end_backends(other, pids)

        for _ in range(2):
            with store.read() as session:
                assert session.scalar(text("SELECT pg_backend_pid()")) not in pids
        store.close()
        other.close()

    def test_one_that_breaks_in_use_takes_the_others_along(self, postgres_url: str) -> None:
        store, other = Store(postgres_url), Store(postgres_url)
        with store.write() as session, store.write() as second:
            pids = [s.scalar(text("SELECT pg_backend_pid()")) for s in (session, second)]
        end_backends(other, pids)

        with pytest.raises(OperationalError), store.read() as session:  # used a moment ago, so nobody asks
            session.scalar(text("SELECT 1"))
        with store.read() as session:
            assert session.scalar(text("SELECT pg_backend_pid()")) not in pids
        store.close()
        other.close()

    def test_a_server_that_has_become_a_standby_is_away_until_another_takes_its_place(self, postgres_url: str) -> None:
        store, primary = Store(postgres_url), Store(postgres_url)
        with primary.write() as session:
            session.execute(text("CREATE TABLE numbers (n int)"))
        with store.read() as session:  # the connection that the pool keeps
            session.execute(text("SET default_transaction_read_only = on"))

        with pytest.raises(OperationalError, match="read-only"), store.write() as session:
            session.execute(text("INSERT INTO numbers VALUES (1)"))
        with store.write() as session:  # over a new connection
            session.execute(text("INSERT INTO numbers VALUES (2)"))
        with primary.read() as session:
            assert list(session.scalars(text("SELECT n FROM numbers"))) == [2]
        store.close()
        primary.close()


def end_backends(store: Store, pids: list[int]) -> None:
    """As a restart of the server does."""
    with store.read() as session:
        for pid in pids:
            session.scalar(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})


class TestSqlite:
    def test_the_first_to_open_a_migrated_file_wait_for_each_other(self, tmp_path: Path) -> None:
        file = tmp_path / "migrated.db"
        other = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        other.execute("CREATE TABLE numbers (n int)")
        other.execute("BEGIN IMMEDIATE")  # as another that changes the mode would
        done = threading.Timer(0.5, other.close)
        done.start()

        store = Store(f"sqlite:///{file}")
        with store.write() as session:
            assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        store.close()
        done.join()

    def test_the_file_writes_ahead(self, tmp_path: Path) -> None:
        store = Store(f"sqlite:///{tmp_path / 'new.db'}")
        with store.read() as session:
            assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        store.close()
