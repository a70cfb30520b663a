"""A worker measures its machine while it has nothing else to do; with a small program in the measurement's place."""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.db.engine import Store
from app.domain.speeds import Known, Work
from app.services import speeds
from app.settings import Settings
from tests.databases import migrate
from worker import machine
from worker.measuring import _NEEDED, Measurer

ONE = '{"type":"speed","work":"decode","amount":0.01}'


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    migrate(settings.database)
    store = Store(settings.database)
    yield store
    store.close()


def known(settings: Settings, store: Store) -> list[Known]:
    with store.read() as session:
        return speeds.known(session, machine.kind(settings))


def measurer(settings: Settings, store: Store, code: str, working: threading.Event | None = None) -> Measurer:
    is_working = (working or threading.Event()).is_set
    return Measurer(
        settings, store, threading.Event(), is_working=is_working, command=(sys.executable, "-c", f"{code}\n")
    )


class TestMeasure:
    def test_remembers_what_is_told(self, settings: Settings, store: Store) -> None:
        code = f"print('a library complains'); print('{ONE}')"
        assert measurer(settings, store, code).measure()
        assert known(settings, store) == [Known("decode", "", 0, "", (0.01,), False)]

    def test_ends_for_a_job_and_keeps_what_it_has(self, settings: Settings, store: Store, tmp_path: Path) -> None:
        pid = tmp_path / "pid"
        code = (
            f"import os, pathlib, time; print('{ONE}', flush=True); "
            f"pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(600)"
        )
        working = threading.Event()
        began = time.monotonic()

        def take_a_job() -> None:
            while not pid.exists():
                time.sleep(0.02)
            time.sleep(0.5)  # so that the line is read
            working.set()

        job = threading.Thread(target=take_a_job)
        job.start()
        assert not measurer(settings, store, code, working).measure()
        job.join()
        assert time.monotonic() - began < 500
        assert [row.work for row in known(settings, store)] == ["decode"]

    def test_tells_whether_it_came_to_an_end(self, settings: Settings, store: Store) -> None:
        assert not measurer(settings, store, "raise SystemExit(1)").measure()

    def test_a_machine_is_measured_once(self, settings: Settings, store: Store) -> None:
        told = "; ".join(f'print(\'{{"type":"speed","work":"{work}","amount":1}}\')' for work in _NEEDED)
        one = measurer(settings, store, told)
        assert not one.is_known()
        assert one.measure()
        assert one.is_known()
        assert measurer(settings, store, "raise SystemExit(1)").is_known()  # after a restart
        assert Work.TRAIN in _NEEDED
