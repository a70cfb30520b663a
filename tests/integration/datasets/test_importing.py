"""One import from its claim to its end: the real import in a real child, on either database."""

import hashlib
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
LOSE_ARCHIVE = "import pathlib, shutil, sys; shutil.rmtree(pathlib.Path(sys.argv[1]).parent); sys.exit(1)"
LOSE_PREPARED = (
    "import pathlib, subprocess, sys; out = pathlib.Path(sys.argv[2]); "
    "done = subprocess.run([sys.executable, '-m', 'app.ingest', *sys.argv[1:]]); (out / 'preview.json').unlink()"
)
HALVES = """
import pathlib, sys, time
print('{"type": "progress", "progress": 0.25}', flush=True)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.02)
print('{"type": "progress", "progress": 0.5}', flush=True)
time.sleep(600)
"""
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
class Harness:
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
            row = Dataset(
                id=dataset_id, name="pets.zip", bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
            )
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
def harness(store: Store, settings: Settings, tmp_path: Path) -> Harness:
    quick = {"heartbeat_seconds": 0.1, "cancel_poll_seconds": 0.05}
    return Harness(settings.model_copy(update=quick), store, Blobs(settings.storage), tmp_path)


class TestVerdict:
    def test_a_good_archive_becomes_ready(self, harness: Harness) -> None:
        dataset_id = harness.upload(archive_of(images_per_class=6))

        harness.importer().run(dataset_id)

        dataset = harness.dataset(dataset_id)
        assert dataset.state == DatasetState.READY
        assert dataset.report is not None
        assert (dataset.report["images"], dataset.report["classes"]) == (12, ["cat", "dog"])
        assert dataset.digest == dataset.report["digest"]
        assert dataset.prepared_key == f"datasets/{dataset_id}/e1/prepared.zip"
        assert dataset.progress == 1
        assert harness.stored() == [dataset.prepared_key, f"datasets/{dataset_id}/e1/preview.json"]

    def test_a_bad_archive_is_rejected_with_its_reason(self, harness: Harness) -> None:
        dataset_id = harness.upload(b"no archive at all")

        harness.importer().run(dataset_id)

        dataset = harness.dataset(dataset_id)
        assert dataset.state == DatasetState.REJECTED
        assert dataset.error is not None
        assert dataset.error["detail"]
        assert dataset.error["code"] != "import_failed"
        assert harness.stored() == []

    def test_applies_the_limits_of_the_settings(self, harness: Harness) -> None:
        harness.settings = harness.settings.model_copy(update={"max_images": 5})
        dataset_id = harness.upload(archive_of(images_per_class=6))

        harness.importer().run(dataset_id)

        assert "more than 5 entries" in (harness.dataset(dataset_id).error or {})["detail"]

    def test_takes_a_report_longer_than_any_line(self, harness: Harness) -> None:
        file = BytesIO(archive_of(images_per_class=6))
        with zipfile.ZipFile(file, "a") as archive:
            for i in range(1000):
                archive.writestr(
                    f"cat/{'läng' * 45}/{'x' * 100}{'y' * 100}/{'z' * 120}/{'q' * 120}/{'w' * 200}/{'v' * 200}{i}.txt",
                    b"no image",
                )
        dataset_id = harness.upload(file.getvalue())

        harness.importer().run(dataset_id)

        dataset = harness.dataset(dataset_id)
        assert dataset.error is None
        assert dataset.report is not None
        assert dataset.report["skipped_total"] == 1000
        assert len(json.dumps(dataset.report)) > LONGEST_LINE

    def test_leaves_no_scratch(self, harness: Harness) -> None:
        harness.importer().run(harness.upload(archive_of(images_per_class=6)))

        assert list((harness.settings.scratch / "imports").iterdir()) == []

    def test_is_done_once_however_often_it_is_asked_for(self, harness: Harness) -> None:
        dataset_id = harness.upload(archive_of(images_per_class=6))
        for _ in range(3):
            harness.importer().run(dataset_id)

        assert harness.dataset(dataset_id).epoch == 1


class TestProgress:
    def test_is_told_with_the_heartbeat(self, harness: Harness) -> None:
        dataset_id = harness.upload(archive_of(images_per_class=6))
        line = 'print(\'{"type": "progress", "progress": 0.25}\', flush=True); '
        importer = harness.importer((sys.executable, "-c", line + WAIT, str(harness.tmp_path / "waiting")))
        thread = threading.Thread(target=importer.run, args=[dataset_id])
        thread.start()
        wait_for(lambda: harness.dataset(dataset_id).progress == 0.25)

        harness.stopping.set()
        thread.join()
        harness.stopping.clear()
        harness.importer().run(dataset_id)
        assert harness.dataset(dataset_id).progress == 1

    def test_is_news_and_a_sign_of_life_is_none(self, harness: Harness) -> None:
        """Streams, and requests that wait, look at the time of the last change."""
        dataset_id, go_on = harness.upload(archive_of(images_per_class=6)), harness.tmp_path / "go on"
        thread = threading.Thread(
            target=harness.importer((sys.executable, "-c", HALVES, str(go_on))).run, args=[dataset_id]
        )
        thread.start()
        wait_for(lambda: harness.dataset(dataset_id).progress == 0.25)
        first = harness.dataset(dataset_id)
        wait_for(lambda: harness.dataset(dataset_id).hb_seq > first.hb_seq + 1)
        assert harness.dataset(dataset_id).updated_at == first.updated_at
        go_on.touch()
        wait_for(lambda: harness.dataset(dataset_id).progress == 0.5)
        assert harness.dataset(dataset_id).updated_at > first.updated_at
        harness.stopping.set()
        thread.join()


class TestCrash:
    def test_is_tried_twice_and_then_told_as_ours(self, harness: Harness) -> None:
        dataset_id = harness.upload(archive_of(images_per_class=6))
        tries = harness.tmp_path / "tries"
        tries.touch()

        harness.importer((sys.executable, "-c", COUNT_AND_DIE, str(tries))).run(dataset_id)

        assert tries.read_text() == "xx"
        dataset = harness.dataset(dataset_id)
        assert dataset.state == DatasetState.REJECTED
        assert dataset.error is not None
        assert (dataset.error["code"], bool(dataset.error["hint"])) == ("import_failed", True)
        assert harness.stored() == []

    @pytest.mark.parametrize("command", [LOSE_ARCHIVE, LOSE_PREPARED], ids=["at work", "done"])
    def test_a_folder_that_was_deleted_is_no_verdict_either(self, harness: Harness, command: str) -> None:
        dataset_id = harness.upload(archive_of(images_per_class=6))

        harness.importer((sys.executable, "-c", command)).run(dataset_id)

        dataset = harness.dataset(dataset_id)
        assert (dataset.state, dataset.worker_id, harness.requeued) == (DatasetState.VALIDATING, None, [dataset_id])
        harness.importer().run(dataset_id)
        assert (harness.dataset(dataset_id).state, harness.dataset(dataset_id).epoch) == (DatasetState.READY, 2)

    def test_but_the_third_in_a_row_is_told(self, harness: Harness) -> None:
        dataset_id = harness.upload(archive_of(images_per_class=6))

        for _ in range(3):
            harness.importer((sys.executable, "-c", LOSE_ARCHIVE)).run(dataset_id)

        assert (harness.dataset(dataset_id).error or {})["code"] == "import_failed"
        assert harness.stored() == []

    def test_a_store_that_is_away_at_the_claim_is_a_warning(
        self, harness: Harness, caplog: pytest.LogCaptureFixture
    ) -> None:
        importer = harness.importer()
        importer.store = Store("postgresql+psycopg://nobody@127.0.0.1:1/none")

        importer.run("ds_1")

        assert [(told.levelname, told.exc_info) for told in caplog.records] == [("WARNING", None)]

    def test_a_missing_upload_is_no_verdict_on_the_archive(self, harness: Harness) -> None:
        dataset_id = harness.upload(b"")
        harness.blobs.delete(f"uploads/{dataset_id}")

        harness.importer().run(dataset_id)

        assert (harness.dataset(dataset_id).error or {})["code"] == "file_lost"

    def test_nor_is_an_altered_one(self, harness: Harness) -> None:
        dataset_id = harness.upload(archive_of(images_per_class=6))
        stored = harness.settings.root / "blobs" / "uploads" / dataset_id
        content = bytearray(stored.read_bytes())
        content[-1] ^= 1  # in the comment's length, which many readers pass over
        stored.write_bytes(content)

        harness.importer().run(dataset_id)

        error = harness.dataset(dataset_id).error or {}
        assert (error["code"], error["hint"]) == ("file_lost", "Upload it again.")


class TestStopping:
    def test_hands_the_data_set_back(self, harness: Harness) -> None:
        dataset_id = harness.upload(archive_of(images_per_class=6))
        waiting = harness.tmp_path / "waiting"
        importer = harness.importer((sys.executable, "-c", WAIT, str(waiting)))
        thread = threading.Thread(target=importer.run, args=[dataset_id])
        thread.start()
        wait_for(waiting.exists)

        harness.stopping.set()
        thread.join()

        assert (harness.dataset(dataset_id).state, harness.requeued) == (DatasetState.VALIDATING, [dataset_id])
        harness.stopping.clear()
        harness.importer().run(dataset_id)
        assert (harness.dataset(dataset_id).state, harness.dataset(dataset_id).epoch) == (DatasetState.READY, 2)


class TestTakenOver:
    def test_leaves_the_data_set_to_its_new_holder(self, harness: Harness) -> None:
        dataset_id = harness.upload(archive_of(images_per_class=6))
        waiting = harness.tmp_path / "waiting"
        importer = harness.importer((sys.executable, "-c", WAIT, str(waiting)))
        thread = threading.Thread(target=importer.run, args=[dataset_id])
        thread.start()
        wait_for(waiting.exists)

        with harness.store.write() as session:
            session.execute(update(Dataset).where(Dataset.id == dataset_id).values(epoch=2, worker_id="wk_2"))
        thread.join()

        dataset = harness.dataset(dataset_id)
        assert (dataset.state, dataset.worker_id) == (DatasetState.VALIDATING, "wk_2")
        assert harness.stored() == [f"uploads/{dataset_id}"]

    def test_leaves_nothing_of_a_data_set_that_was_deleted(self, harness: Harness) -> None:
        dataset_id = harness.upload(archive_of(images_per_class=6))
        waiting = harness.tmp_path / "waiting"
        importer = harness.importer((sys.executable, "-c", WAIT, str(waiting)))
        thread = threading.Thread(target=importer.run, args=[dataset_id])
        thread.start()
        wait_for(waiting.exists)

        with harness.store.write() as session:
            session.delete(session.get_one(Dataset, dataset_id))
        thread.join()

        assert harness.stored() == []
