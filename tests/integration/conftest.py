"""The whole HTTP service in this process, on either database, with a broker and blobs on the file system."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import Dataset
from app.domain.catalog import Catalog, StudentCard, TeacherCard
from app.domain.dataset import DatasetReport, Split
from app.domain.states import DatasetState
from app.ingest import import_archive
from app.services import catalog
from app.services.dataset_leases import accept_dataset, claim_dataset
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.keys import artifact_key
from tests.integration.supervising import QUICK, Harness
from tests.support import client_of

CATALOG = Catalog(
    teachers=(
        TeacherCard(
            name="resnet18.a1_in1k", architecture="resnet18", family="resnet", parameters=11_000_000, input_size=224
        ),
        TeacherCard(
            name="vit_tiny_patch16_224.augreg_in21k",
            architecture="vit_tiny_patch16_224",
            family="vision_transformer",
            parameters=5_500_000,
            input_size=224,
        ),
    ),
    students=(
        StudentCard(name="mobilenetv3_small_050", family="mobilenetv3", parameters=1_000_000),
        StudentCard(name="mobilenetv3_small_075", family="mobilenetv3", parameters=1_500_000),
        StudentCard(name="resnet50", family="resnet", parameters=23_000_000),
        StudentCard(name="vit_tiny_patch16_224", family="vision_transformer", parameters=5_500_000),
    ),
)


@dataclass(frozen=True)
class Service:
    """A running service: its front door, and the store and blobs that its workers would use."""

    http: TestClient
    store: Store
    blobs: Blobs
    settings: Settings
    tmp_path: Path

    def messages(self, count: int) -> list[Path]:
        """What the workers have been sent; waits for so many, as they are sent behind the answer."""
        folder, give_up = self.settings.broker_folder / "messages", time.monotonic() + 10
        while len(found := [path for path in folder.iterdir() if path.stat().st_size]) < count:  # empty: being written
            if time.monotonic() > give_up:
                break
            time.sleep(0.01)
        return found

    def register(self) -> None:
        with self.store.write() as session:
            catalog.register(session, "host-a", "training", "cpu", CATALOG)

    def validating_dataset(self, name: str = "digits.zip") -> str:
        dataset_id = new_id("ds")
        with self.store.write() as session:
            session.add(Dataset(id=dataset_id, name=name, bytes=3, sha256="0" * 64, upload_key=f"uploads/{dataset_id}"))
        return dataset_id

    def ready_dataset(self, **changes: object) -> str:
        dataset_id = self.validating_dataset()
        content = {
            "classes": ("0", "1"),
            "counts": {Split.TRAIN: {"0": 2, "1": 2}, Split.TEST: {"0": 1}},
            "images": 5,
            "digest": "d" * 64,
        }
        report = DatasetReport.model_validate(content | changes)
        with self.store.write() as session:
            claim = claim_dataset(session, dataset_id, "wk_1")
            assert claim is not None
            assert accept_dataset(session, claim, f"datasets/{dataset_id}/e1/prepared.zip", report)
        return dataset_id

    def put_artifact(self, job_id: str, epoch: int, name: str, content: bytes) -> None:
        source = self.tmp_path / f"{job_id}-{name.replace('/', '-')}"
        source.write_bytes(content)
        self.blobs.put_file(artifact_key(job_id, epoch, name), source)

    def spec(self, **changes: object) -> dict[str, object]:
        return {
            "dataset_id": self.ready_dataset(),
            "teacher": "resnet18.a1_in1k",
            "student": "mobilenetv3_small_050",
        } | changes

    def submit(self, **changes: object) -> str:
        answer = self.http.post("/v1/jobs", json=self.spec(**changes))
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["id"]
        return job_id


@pytest.fixture
def service(store: Store, store_url: str, settings: Settings, tmp_path: Path) -> Iterator[Service]:
    """With a catalogue that a worker has announced."""
    # a request may take as long as a busy machine needs
    changes = {"database_url": store_url, "max_upload_bytes": 100_000, "request_seconds": 60.0}
    settings = settings.model_copy(update=changes)
    with client_of(settings) as http:
        running = Service(http, store, Blobs(settings.storage), settings, tmp_path)
        running.register()
        yield running


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared data set of eight small images."""
    folder = tmp_path_factory.mktemp("images")
    for label in range(2):
        for i in range(4):
            path = folder / "archive" / str(label) / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (100 * label, 40 * i, 7)).save(path)
    archive = Path(shutil.make_archive(str(folder / "images"), "zip", folder / "archive"))
    assert import_archive(archive, folder / "out").report is not None
    return folder / "out" / "prepared.zip"


@pytest.fixture
def harness(store: Store, store_url: str, settings: Settings, prepared: Path) -> Harness:
    settings = settings.model_copy(update={**QUICK, "database_url": store_url})
    blobs, dataset_id = Blobs(settings.storage), new_id("ds")
    key = f"datasets/{dataset_id}/e1/prepared.zip"
    blobs.put_file(key, prepared)
    with store.write() as session:
        row = Dataset(id=dataset_id, name="eight.zip", bytes=1, sha256="0" * 64, state=DatasetState.READY)
        row.prepared_key = key
        session.add(row)
    return Harness(settings, store, blobs, dataset_id)
