"""What a worker does before it consumes."""

import sys
from pathlib import Path

import pytest

from app.db.engine import Store
from app.db.ids import new_id
from app.db.migrate import upgrade
from app.db.models import Dataset, Job
from app.domain.catalog import Catalog
from app.domain.states import DatasetState, JobState
from app.queue import DATASETS_QUEUE, TRAINING_QUEUE
from app.settings import Settings
from worker.announce import announce, nudge_waiting, read_catalog, sweep


@pytest.fixture
def store(settings: Settings) -> Store:
    upgrade(settings.database)
    return Store(settings.database)


def add_dataset(store: Store, state: DatasetState) -> str:
    dataset_id = new_id("ds")
    with store.write() as session:
        session.add(Dataset(id=dataset_id, name="a", bytes=1, sha256="0" * 64, state=state))
    return dataset_id


def add_job(store: Store, state: JobState) -> str:
    job_id, dataset_id = new_id("job"), add_dataset(store, DatasetState.READY)
    with store.write() as session:
        session.add(Job(id=job_id, dataset_id=dataset_id, spec={}, state=state))
    return job_id


class TestNudgeWaiting:
    def test_sends_every_queued_job(self, store: Store) -> None:
        queued = [add_job(store, JobState.QUEUED) for _ in range(2)]
        add_job(store, JobState.RUNNING)
        add_dataset(store, DatasetState.VALIDATING)
        sent: list[str] = []

        nudge_waiting(store, TRAINING_QUEUE, sent.append)

        assert sent == queued

    def test_sends_every_data_set_that_waits_for_its_import(self, store: Store) -> None:
        validating = add_dataset(store, DatasetState.VALIDATING)
        add_job(store, JobState.QUEUED)
        sent: list[str] = []

        nudge_waiting(store, DATASETS_QUEUE, sent.append)

        assert sent == [validating]


class TestAnnounce:
    def test_a_restarted_worker_is_the_same(self, settings: Settings, store: Store) -> None:
        assert announce(settings, store, DATASETS_QUEUE) == announce(settings, store, DATASETS_QUEUE)


class TestReadCatalog:
    def test_says_why_there_is_none(self, settings: Settings) -> None:
        failing = (sys.executable, "-c", "import no_such_library")

        with pytest.raises(RuntimeError, match="no_such_library"):
            read_catalog(settings, failing)

    def test_passes_the_settings_on(self, settings: Settings, tmp_path: Path) -> None:
        code = (
            "import os; teacher = dict(name='x', architecture='a', family='f', input_size=8, "
            "trained_on=os.environ['TDMR_MODELS_DIR'], licence=os.environ['TDMR_HUB']); "
            "import json; print(json.dumps(dict(teachers=[teacher], students=[])))"
        )
        settings = settings.model_copy(update={"hub": False, "models_dir": tmp_path})

        catalog = read_catalog(settings, (sys.executable, "-c", code))

        assert isinstance(catalog, Catalog)
        assert (catalog.teachers[0].trained_on, catalog.teachers[0].licence) == (str(tmp_path), "false")


class TestSweep:
    def test_removes_what_is_left_of_ended_and_of_unknown_jobs(self, settings: Settings, store: Store) -> None:
        queued, failed = add_job(store, JobState.QUEUED), add_job(store, JobState.FAILED)
        for name in (queued, failed, f"{failed}-e2", new_id("job")):
            (settings.scratch / "jobs" / name).mkdir(parents=True)

        sweep(settings, store)

        assert [path.name for path in (settings.scratch / "jobs").iterdir()] == [queued]
