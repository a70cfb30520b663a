"""A worker's signs of life, and when it leaves because it is deaf; with a real store and a broker of files."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from app.db.engine import Store
from app.db.models import Worker, utcnow
from app.queue import DATASETS_QUEUE, IMPORT_TASK, make_celery, send
from app.services import catalog
from app.settings import Settings
from tests.databases import migrate
from worker.liveness import Liveness

LOOKS = 3
"""So many in vain, and a worker leaves."""


class Harness:
    def __init__(self, settings: Settings) -> None:
        migrate(settings.database)
        self.settings = settings.model_copy(
            update={"heartbeat_seconds": 1.0, "fence_seconds": 2.0, "lease_seconds": float(LOOKS)}
        )
        self.store, self.celery = Store(settings.database), make_celery(settings)
        with self.store.write() as session:
            self.worker_id = catalog.register(session, "here", DATASETS_QUEUE, "cpu", None)
        self.left = 0
        self.liveness = self.of(self.settings)

    def of(self, settings: Settings) -> Liveness:
        celery, stopping = make_celery(settings), threading.Event()
        return Liveness(settings, self.store, celery, DATASETS_QUEUE, self.worker_id, stopping, leave=self.leave)

    def leave(self) -> None:
        self.left += 1


@pytest.fixture
def harness(settings: Settings) -> Iterator[Harness]:
    harness = Harness(settings)
    yield harness
    harness.celery.close()
    harness.store.close()


class TestLook:
    def test_an_idle_worker_for_which_messages_wait_leaves(self, harness: Harness) -> None:
        send(harness.celery, IMPORT_TASK, "ds_1")

        for _ in range(LOOKS):
            assert harness.left == 0
            harness.liveness.look()

        assert harness.left == 1

    def test_one_without_messages_stays(self, harness: Harness) -> None:
        for _ in range(2 * LOOKS):
            harness.liveness.look()

        assert harness.left == 0

    def test_one_at_work_stays(self, harness: Harness) -> None:
        send(harness.celery, IMPORT_TASK, "ds_1")

        with harness.liveness.working():
            for _ in range(2 * LOOKS):
                harness.liveness.look()

        assert harness.left == 0

    def test_one_that_takes_messages_between_two_looks_stays(self, harness: Harness) -> None:
        send(harness.celery, IMPORT_TASK, "ds_1")

        for _ in range(2 * LOOKS):
            with harness.liveness.working():
                pass
            harness.liveness.look()

        assert harness.left == 0

    def test_one_whose_broker_is_away_stays(self, harness: Harness) -> None:
        liveness = harness.of(harness.settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"}))

        for _ in range(2 * LOOKS):
            liveness.look()

        assert harness.left == 0

    def test_gives_a_sign_of_life(self, harness: Harness) -> None:
        long_ago = utcnow() - timedelta(hours=1)
        with harness.store.write() as session:
            session.get_one(Worker, harness.worker_id).seen_at = long_ago

        harness.liveness.look()

        with harness.store.read() as session:
            assert session.get_one(Worker, harness.worker_id).seen_at > long_ago + timedelta(minutes=59)

    def test_bears_a_store_that_is_away(self, harness: Harness, tmp_path: Path) -> None:
        harness.store.close()
        (tmp_path / "folder").mkdir()
        harness.store = Store(f"sqlite:///{tmp_path / 'folder'}")

        harness.of(harness.settings).look()
