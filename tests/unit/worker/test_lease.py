"""A claim whose store does not answer."""

import threading

import pytest

from app.db.engine import Store
from app.db.queries.claims import Heartbeat
from app.settings import Settings
from worker.lease import Lease, LeaseLost


class TestGuard:
    def test_kills_without_being_asked_when_a_heartbeat_hangs(self, settings: Settings) -> None:
        settings = settings.model_copy(update={"heartbeat_seconds": 0.05, "fence_seconds": 0.2})
        store, thawed, killed = Store(settings.database), threading.Event(), threading.Event()

        def hang() -> Heartbeat:
            thawed.wait()
            return Heartbeat(alive=True)

        with Lease(settings, store, threading.Event(), beat=hang) as lease:
            lease.guard(killed.set)
            killed.wait()  # pytest's own time limit ends it
            with pytest.raises(LeaseLost):
                lease.check()
            thawed.set()
        store.close()

    def test_kills_nobody_while_heartbeats_get_through(self, settings: Settings) -> None:
        settings = settings.model_copy(update={"heartbeat_seconds": 0.01, "cancel_poll_seconds": 0.01})
        store, killed, beats = Store(settings.database), threading.Event(), threading.Semaphore(0)

        def beat() -> Heartbeat:
            beats.release()
            return Heartbeat(alive=True)

        with Lease(settings, store, threading.Event(), beat=beat) as lease:
            lease.guard(killed.set)
            for _ in range(100):
                beats.acquire()
            lease.check()
        assert not killed.is_set()
        store.close()
