"""One import from its claim to its end: the real import in a real child, on either database."""

import json
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import update

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import Dataset
from app.domain.states import DatasetState
from app.settings import Settings
from app.storage.blobs import Blobs
from worker.child import LONGEST_LINE
from worker.importing import INGEST, Importer

COUNT_AND_DIE = (
    "import pathlib, sys; tries = pathlib.Path(sys.argv[1]); tries.write_text(tries.read_text() + 'x'); "
    'print(\'{"type": "progress", "done": 1, "total": 2}\', flush=True); sys.exit(3)'
)
WAIT = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():  # pytest's own time limit ends it
        time.sleep(0.02)


def archive_of(images_per_class: int) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for label in ("cat", "dog"):
            for i in range(images_per_class):
                picture = BytesIO()
                Image.new("RGB", (32, 32), (i * 20, 90, len(label) + ord(label[0]))).save(picture, "PNG")
                archive.writestr(f"{label}/{i}.png", picture.getvalue())
    return file.getvalue()


@dataclass
class Room:
    settings: Settings
    store: Store
    blobs: Blobs
    tmp_path: Path
    stopping: threading.Event = field(default_factory=threading.Event)
    requeued: list[str] = field(default_factory=list)

    def upload(self, content: bytes) -> str:
        dataset_id = new_id("ds")
        source = self.tmp_path / dataset_id
        source.write_bytes(content)
        self.blobs.put_file(f"uploads/{dataset_id}", source)
        with self.store.write() as session:
            row = Dataset(id=dataset_id, name="pets.zip", bytes=len(content), sha256="0" * 64)
            row.upload_key = f"uploads/{dataset_id}"
            session.add(row)
        return dataset_id

    def importer(self, command: tuple[str, ...] = INGEST) -> Importer:
        requeue = self.requeued.append
        return Importer(self.settings, self.store, self.blobs, "wk_1", self.stopping, command=command, requeue=requeue)

    def dataset(self, dataset_id: str) -> Dataset:
        with self.store.read() as session:
            return session.get_one(Dataset, dataset_id)

    def stored(self) -> list[str]:
        folder = self.settings.root / "blobs"
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def room(store: Store, settings: Settings, tmp_path: Path) -> Room:
    quick = {"heartbeat_seconds": 0.1, "cancel_poll_seconds": 0.05}
    return Room(settings.model_copy(update=quick), store, Blobs(settings.storage), tmp_path)


class TestVerdict:
    def test_a_good_archive_becomes_ready(self, room: Room) -> None:
        dataset_id = room.upload(archive_of(images_per_class=6))

        room.importer().run(dataset_id)

        dataset = room.dataset(dataset_id)
        assert dataset.state == DatasetState.READY
        assert dataset.report is not None
        assert (dataset.report["images"], dataset.report["classes"]) == (12, ["cat", "dog"])
        assert dataset.digest == dataset.report["digest"]
        assert dataset.prepared_key == f"datasets/{dataset_id}/e1/prepared.zip"
        assert dataset.progress == 1
        assert room.stored() == [dataset.prepared_key, f"datasets/{dataset_id}/e1/preview.json"]

    def test_a_bad_archive_is_rejected_with_its_reason(self, room: Room) -> None:
        dataset_id = room.upload(b"no archive at all")

        room.importer().run(dataset_id)

        dataset = room.dataset(dataset_id)
        assert dataset.state == DatasetState.REJECTED
        assert dataset.error is not None
        assert dataset.error["detail"]
        assert dataset.error["code"] != "import_failed"
        assert room.stored() == []

    def test_applies_the_limits_of_the_settings(self, room: Room) -> None:
        room.settings = room.settings.model_copy(update={"max_images": 5})
        dataset_id = room.upload(archive_of(images_per_class=6))

        room.importer().run(dataset_id)

        assert "more than 5 entries" in (room.dataset(dataset_id).error or {})["detail"]

    def test_takes_a_report_longer_than_any_line(self, room: Room) -> None:
        file = BytesIO(archive_of(images_per_class=6))
        with zipfile.ZipFile(file, "a") as archive:
            for i in range(1000):
                archive.writestr(
                    f"cat/{'long' * 60}/{'x' * 100}{'y' * 100}/{'z' * 120}/{'q' * 120}/{'w' * 200}/{'v' * 200}{i}.txt",
                    b"no image",
                )
        dataset_id = room.upload(file.getvalue())

        room.importer().run(dataset_id)

        dataset = room.dataset(dataset_id)
        assert dataset.error is None
        assert dataset.report is not None
        assert dataset.report["skipped_total"] == 1000
        assert len(json.dumps(dataset.report)) > LONGEST_LINE

    def test_leaves_no_scratch(self, room: Room) -> None:
        room.importer().run(room.upload(archive_of(images_per_class=6)))

        assert list((room.settings.scratch / "imports").iterdir()) == []

    def test_is_done_once_however_often_it_is_asked_for(self, room: Room) -> None:
        dataset_id = room.upload(archive_of(images_per_class=6))
        for _ in range(3):
            room.importer().run(dataset_id)

        assert room.dataset(dataset_id).epoch == 1


class TestProgress:
    def test_is_told_with_the_heartbeat(self, room: Room) -> None:
        dataset_id = room.upload(archive_of(images_per_class=6))
        line = 'print(\'{"type": "progress", "progress": 0.25}\', flush=True); '
        importer = room.importer((sys.executable, "-c", line + WAIT, str(room.tmp_path / "waiting")))
        thread = threading.Thread(target=importer.run, args=[dataset_id])
        thread.start()
        wait_for(lambda: room.dataset(dataset_id).progress == 0.25)

        room.stopping.set()
        thread.join()
        room.stopping.clear()
        room.importer().run(dataset_id)
        assert room.dataset(dataset_id).progress == 1


class TestCrash:
    def test_is_tried_twice_and_then_told_as_ours(self, room: Room) -> None:
        dataset_id = room.upload(archive_of(images_per_class=6))
        tries = room.tmp_path / "tries"
        tries.touch()

        room.importer((sys.executable, "-c", COUNT_AND_DIE, str(tries))).run(dataset_id)

        assert tries.read_text() == "xx"
        dataset = room.dataset(dataset_id)
        assert dataset.state == DatasetState.REJECTED
        assert dataset.error is not None
        assert (dataset.error["code"], bool(dataset.error["hint"])) == ("import_failed", True)
        assert room.stored() == []

    def test_a_missing_upload_is_no_verdict_on_the_archive(self, room: Room) -> None:
        dataset_id = room.upload(b"")
        room.blobs.delete(f"uploads/{dataset_id}")

        room.importer().run(dataset_id)

        assert (room.dataset(dataset_id).error or {})["code"] == "store_unavailable"


class TestStopping:
    def test_hands_the_data_set_back(self, room: Room) -> None:
        dataset_id = room.upload(archive_of(images_per_class=6))
        waiting = room.tmp_path / "waiting"
        importer = room.importer((sys.executable, "-c", WAIT, str(waiting)))
        thread = threading.Thread(target=importer.run, args=[dataset_id])
        thread.start()
        wait_for(waiting.exists)

        room.stopping.set()
        thread.join()

        assert (room.dataset(dataset_id).state, room.requeued) == (DatasetState.VALIDATING, [dataset_id])
        room.stopping.clear()
        room.importer().run(dataset_id)
        assert (room.dataset(dataset_id).state, room.dataset(dataset_id).epoch) == (DatasetState.READY, 2)


class TestTakenOver:
    def test_leaves_the_data_set_to_its_new_holder(self, room: Room) -> None:
        dataset_id = room.upload(archive_of(images_per_class=6))
        waiting = room.tmp_path / "waiting"
        importer = room.importer((sys.executable, "-c", WAIT, str(waiting)))
        thread = threading.Thread(target=importer.run, args=[dataset_id])
        thread.start()
        wait_for(waiting.exists)

        with room.store.write() as session:
            session.execute(update(Dataset).where(Dataset.id == dataset_id).values(epoch=2, worker_id="wk_2"))
        thread.join()

        dataset = room.dataset(dataset_id)
        assert (dataset.state, dataset.worker_id) == (DatasetState.VALIDATING, "wk_2")
        assert room.stored() == [f"uploads/{dataset_id}"]

    def test_leaves_nothing_of_a_data_set_that_was_deleted(self, room: Room) -> None:
        dataset_id = room.upload(archive_of(images_per_class=6))
        waiting = room.tmp_path / "waiting"
        importer = room.importer((sys.executable, "-c", WAIT, str(waiting)))
        thread = threading.Thread(target=importer.run, args=[dataset_id])
        thread.start()
        wait_for(waiting.exists)

        with room.store.write() as session:
            session.delete(session.get_one(Dataset, dataset_id))
        thread.join()

        assert room.stored() == []
