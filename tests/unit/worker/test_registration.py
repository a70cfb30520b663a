"""What a worker does before it consumes."""

import sys
from pathlib import Path

import pytest

from app.db.engine import Store
from app.domain.catalog import Catalog
from app.queue import DATASETS_QUEUE
from app.settings import Settings
from tests.databases import migrate
from worker.registration import read_catalog, register


@pytest.fixture
def store(settings: Settings) -> Store:
    migrate(settings.database)
    return Store(settings.database)


class TestAnnounce:
    def test_a_restarted_worker_is_the_same(self, settings: Settings, store: Store) -> None:
        assert register(settings, store, DATASETS_QUEUE) == register(settings, store, DATASETS_QUEUE)


class TestReadCatalog:
    def test_says_why_there_is_none(self, settings: Settings) -> None:
        failing = (sys.executable, "-c", "import no_such_library")

        with pytest.raises(RuntimeError, match="no_such_library"):
            read_catalog(settings, failing)

    def test_passes_the_settings_on(self, settings: Settings, tmp_path: Path) -> None:
        code = (
            "import json, sys; runtime = json.load(open(sys.argv[2])); "
            "teacher = dict(name='x', architecture='a', family='f', input_size=8, "
            "trained_on=runtime['models_dir'], licence=str(runtime['hub'])); "
            "print(json.dumps(dict(teachers=[teacher], students=[])))"
        )
        settings = settings.model_copy(update={"hub": False, "models_dir": tmp_path})

        catalog = read_catalog(settings, (sys.executable, "-c", code))

        assert isinstance(catalog, Catalog)
        assert (catalog.teachers[0].trained_on, catalog.teachers[0].licence) == (str(tmp_path), "False")
