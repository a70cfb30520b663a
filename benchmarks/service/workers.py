"""Real worker processes for benchmarks that are not about training: their child is the stand-in of the tests."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from app.db.engine import Store
from app.db.ids import new_id
from app.db.migrate import upgrade
from app.db.models import DEFAULT_TENANT, Dataset, Job
from app.domain.spec import JobSpec
from app.domain.states import DatasetState
from app.ingest import import_archive
from app.queue import TRAIN_TASK, make_celery, send
from app.settings import Settings
from app.storage.blobs import Blobs

WORKER = Path(__file__).parents[2] / "tests" / "faults" / "worker_main.py"


class WorkerBench:
    """A store, a storage and a broker with one data set, in a folder of its own; workers are started as needed."""

    def __init__(self, home: Path, broker: str = "") -> None:
        self.settings = Settings(home=home, broker_url=broker)
        upgrade(self.settings.database)
        self.store, self.celery = Store(self.settings.database), make_celery(self.settings)
        self.orders = home / "orders"
        """What the files in it say, the child does half way (tests/integration/trainer.py)."""
        self.orders.mkdir()
        self._dataset_id = new_id("ds")
        key = f"datasets/{self._dataset_id}/e1/prepared.zip"
        Blobs(self.settings.storage).put_file(key, _prepared(home / "images"))
        with self.store.write() as session:
            row = Dataset(id=self._dataset_id, name="two.zip", bytes=1, sha256="0" * 64, prepared_key=key)
            row.state = DatasetState.READY
            session.add(row)

    def submit(self, tenant: str = DEFAULT_TENANT) -> str:
        """Queue a job and notify the workers."""
        spec = JobSpec(dataset_id=self._dataset_id, student="test_vit", method="scratch").model_dump(mode="json")
        job_id = new_id("job")
        with self.store.write() as session:
            session.add(Job(id=job_id, tenant=tenant, dataset_id=self._dataset_id, spec=spec))
        send(self.celery, TRAIN_TASK, job_id)
        return job_id

    def job(self, job_id: str) -> Job:
        with self.store.read() as session:
            return session.get_one(Job, job_id)

    @contextmanager
    def worker(self, name: str = "worker") -> Iterator[Path]:
        """A worker with the default settings, until the end of the block; gives its log."""
        environment = os.environ | {"TDMR_HOME": str(self.settings.root), "TDMR_BROKER_URL": self.settings.broker_url}
        log = self.settings.root / f"{name}.log"
        command = [sys.executable, str(WORKER), str(self.orders)]
        with log.open("wb") as sink, subprocess.Popen(command, env=environment, stdout=sink, stderr=sink) as process:
            try:
                yield log
            finally:
                process.terminate()


@contextmanager
def worker_bench(broker: str = "") -> Iterator[WorkerBench]:
    """One in a temporary folder."""
    with tempfile.TemporaryDirectory() as home:
        made = WorkerBench(Path(home), broker)
        try:
            yield made
        finally:
            made.celery.close()
            made.store.close()


def wait_for(condition: Callable[[], bool], pause: float = 0.05) -> None:
    while not condition():
        time.sleep(pause)


def _prepared(folder: Path) -> Path:
    for label in range(2):
        (folder / "archive" / str(label)).mkdir(parents=True)
        for number in range(4):
            picture = Image.new("RGB", (32, 32), (100 * label, 40 * number, 7))
            picture.save(folder / "archive" / str(label) / f"{number}.png")
    archive = Path(shutil.make_archive(str(folder / "images"), "zip", folder / "archive"))
    import_archive(archive, folder / "out")
    return folder / "out" / "prepared.zip"
