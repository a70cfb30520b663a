"""A worker as it is started, on both brokers: it announces itself, takes what waits, takes what is sent, and stops."""

import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import select

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import CatalogRow, Dataset, Worker
from app.domain.files import sha256_file
from app.domain.states import DatasetState
from app.queue import DATASETS_QUEUE, IMPORT_TASK, make_celery, send
from app.settings import Settings
from app.storage.blobs import Blobs
from tests.databases import migrate


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():  # pytest's own time limit ends it
        time.sleep(0.05)


class Harness:
    def __init__(self, home: Path, broker_url: str) -> None:
        self.settings = Settings(home=home, broker_url=broker_url)
        migrate(self.settings.database)
        self.store = Store(self.settings.database)
        self.blobs = Blobs(self.settings.storage)
        self.celery = make_celery(self.settings)

    def upload(self) -> str:
        dataset_id = new_id("ds")
        source = self.settings.root / "upload.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for i in range(12):
                picture = BytesIO()
                Image.new("RGB", (32, 32), (i * 20, 0, 0)).save(picture, "PNG")
                archive.writestr(f"{i % 2}/{i}.png", picture.getvalue())
        sha256 = sha256_file(source)
        self.blobs.put_file(f"uploads/{dataset_id}", source)
        with self.store.write() as session:
            row = Dataset(id=dataset_id, name="a.zip", bytes=1, sha256=sha256, upload_key=f"uploads/{dataset_id}")
            session.add(row)
        return dataset_id

    def is_ready(self, dataset_id: str) -> bool:
        with self.store.read() as session:
            return session.get_one(Dataset, dataset_id).state == DatasetState.READY

    def workers(self) -> list[tuple[str, str]]:
        with self.store.read() as session:
            return [(row.queue, row.device) for row in session.scalars(select(Worker))]

    @contextmanager
    def worker(self, queue: str) -> Iterator["subprocess.Popen[str]"]:
        environment = {
            **os.environ,
            "TDMR_HOME": str(self.settings.root),
            "TDMR_BROKER_URL": self.settings.broker_url,
            "TDMR_HUB": "false",
        }
        command = [sys.executable, "-m", "app.cli", "worker", f"--queue={queue}", "--device=cpu"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture(params=["filesystem", "redis"])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    broker_url = request.getfixturevalue("redis_url") if request.param == "redis" else ""
    harness = Harness(tmp_path / "home", broker_url)
    yield harness
    harness.celery.close()
    harness.store.close()


class TestDatasetsWorker:
    def test_takes_what_waits_then_what_is_sent_and_stops_when_told(self, harness: Harness) -> None:
        waiting = harness.upload()  # its message was lost
        with harness.worker(DATASETS_QUEUE) as process:
            wait_for(lambda: harness.is_ready(waiting))
            assert harness.workers() == [("datasets", "cpu")]
            sent = harness.upload()
            send(harness.celery, IMPORT_TASK, sent)
            wait_for(lambda: harness.is_ready(sent))

            process.terminate()

            assert process.wait() == 0
            home = harness.settings.root  # made before, as any program makes a folder
            assert [path for path in (home, *home.rglob("*")) if path.stat().st_mode & 0o077] == []
            assert process.stderr is not None
            lines = [json.loads(line) for line in process.stderr if line.startswith("{")]
        assert (sent, 1, "ready") in [(line.get("dataset_id"), line.get("epoch"), line["message"]) for line in lines]
        assert [line for line in lines if line["level"] in {"error", "critical"}] == []
        assert any("programs that read uploads" in line["message"] for line in lines)  # what was possible

    def test_stops_while_it_waits(self, harness: Harness) -> None:
        with harness.worker(DATASETS_QUEUE) as process:
            wait_for(lambda: harness.workers() != [])

            process.terminate()

            assert process.wait() in {0, -15}  # -15: it had not begun to consume


class TestTrainingWorker:
    def test_announces_what_it_can_build(self, tmp_path: Path) -> None:
        harness = Harness(tmp_path / "home", "")
        with harness.worker("training"):
            wait_for(lambda: harness.workers() != [])

        with harness.store.read() as session:
            (catalogue,) = session.scalars(select(CatalogRow))
        assert {"mobilenetv3_small_050", "test_vit"} <= {card["name"] for card in catalogue.payload["students"]}
        harness.store.close()
        harness.celery.close()


class TestImports:
    def test_a_worker_itself_needs_no_torch(self) -> None:
        code = "import sys, worker.__main__; print(sorted({'torch', 'timm', 'fastapi'} & set(sys.modules)))"

        assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
