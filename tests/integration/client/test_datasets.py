"""Data sets through the client: uploaded once, whatever breaks in between."""

import hashlib
import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from app.db.models import Dataset as DatasetRow
from app.db.models import PartialRow
from benchmarks.service.broken_line import BrokenLine
from tdmr import DatasetRejected, DatasetUnclear, Tdmr, problems
from tdmr._sync import _uploading
from tdmr._zip import FolderZip
from tdmr.errors import APIError, ConnectionFailed, UploadFailed
from tdmr.progress import Lines
from tests.integration.client.conftest import Front, ImportWorker
from tests.integration.conftest import Service
from tests.integration.datasets.test_layouts import QUESTION
from tests.unit.client.folders import write_images


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    write_images(folder, ("train/cat", "train/dog", "test/cat"), count=6)
    return folder


def stored(service: Service, dataset_id: str) -> bytes:
    """The archive as it arrived."""
    with service.store.read() as session:
        key = session.get_one(DatasetRow, dataset_id).upload_key
    assert key is not None
    with service.blobs.open(key) as file:
        content: bytes = file.read()
    return content


def sent(folder: Path) -> bytes:
    return b"".join(FolderZip(folder).read())


def counted(service: Service, table: type) -> int:
    with service.store.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


class TestCreate:
    def test_sends_a_folder_and_waits_until_it_is_checked(
        self, service: Service, client: Tdmr, worker: ImportWorker, photos: Path
    ) -> None:
        log = io.StringIO()
        dataset = client.datasets.create(photos, progress=Lines(log))

        assert (dataset.state, dataset.name, dataset.images) == ("ready", "photos.zip", 4)
        assert dataset.sha256 == hashlib.sha256(sent(photos)).hexdigest()
        assert "Uploading photos.zip 100%" in log.getvalue()
        assert "Checking photos.zip 100%  4 images, 2 classes" in log.getvalue()
        assert "ready" in repr(dataset) and "4 images" in repr(dataset)
        assert "<b>photos.zip</b>" in dataset._repr_html_()

    def test_sends_an_archive_under_another_name(self, service: Service, client: Tdmr, photos: Path) -> None:
        archive = photos.parent / "a.zip"
        archive.write_bytes(sent(photos))

        dataset = client.datasets.create(archive, name="Käse", wait=False, progress=False)

        assert (dataset.state, dataset.name) == ("validating", "Käse")
        assert stored(service, dataset.id) == archive.read_bytes()

    def test_says_why_it_was_rejected(self, client: Tdmr, worker: ImportWorker, photos: Path) -> None:
        worker.reject = "The archive holds no image."
        with pytest.raises(DatasetRejected, match=r"holds no image\. Add images\.") as rejected:
            client.datasets.create(photos, progress=False)
        assert rejected.value.code == "dataset_rejected"

    def test_says_what_is_possible_where_the_classes_are_not_clear(
        self, service: Service, client: Tdmr, worker: ImportWorker, photos: Path
    ) -> None:
        worker.ask = QUESTION
        with pytest.raises(DatasetUnclear) as unclear:
            client.datasets.create(photos, progress=False)
        assert "photos.zip has. It may have\n  folders:1: 1 classes. (a, b)\n" in str(unclear.value)
        assert [one.id for one in unclear.value.readings] == ["folders:1", "folders:2"]
        assert unclear.value.hint == (
            f"Say which one is meant: client.datasets.get({unclear.value.dataset_id!r}).choose('folders:1')."
        )
        dataset = client.datasets.get(unclear.value.dataset_id)
        with pytest.raises(problems.UnknownLayout, match="folders:1, folders:2"):
            dataset.choose("folders:9")
        assert dataset.choose("folders:2").state == "ready"
        with pytest.raises(problems.StateConflict):
            dataset.choose("folders:2")

    def test_sends_what_is_known_of_the_layout(
        self, service: Service, client: Tdmr, worker: ImportWorker, photos: Path
    ) -> None:
        worker.ask = QUESTION
        said = {"layout": "folders:2", "encoding": "gbk", "labels_column": "breed", "stretch": True}
        dataset = client.datasets.create(photos, **said, unlabelled_classes=["unknown"], progress=False)
        assert dataset.state == "ready"
        with service.store.read() as session:
            assert session.get_one(DatasetRow, dataset.id).options == {**said, "unlabelled_classes": ["unknown"]}

    def test_refuses_what_is_not_there(self, client: Tdmr, tmp_path: Path) -> None:
        with pytest.raises(UploadFailed, match="There is no"):
            client.datasets.create(tmp_path / "nothing")

    def test_says_at_once_that_it_is_too_large(self, client: Tdmr, tmp_path: Path) -> None:
        (tmp_path / "large.zip").write_bytes(bytes(200_000))  # of 100,000
        with pytest.raises(problems.TooLarge):
            client.datasets.create(tmp_path / "large.zip", progress=False)


class TestInterrupted:
    def test_goes_on_over_a_line_that_breaks(self, service: Service, front: Front, photos: Path) -> None:
        # the answers to POST, to PATCH and to each HEAD are lost, one after the other
        with BrokenLine("127.0.0.1", front.port, [1] * 4) as line, Tdmr(f"http://127.0.0.1:{line.port}") as client:
            dataset = client.datasets.create(photos, wait=False, progress=False)
            assert line.breaks == 4

        assert stored(service, dataset.id) == sent(photos)
        assert counted(service, DatasetRow) == 1

    def test_goes_on_after_a_restart_of_the_service_where_it_was(
        self, service: Service, front: Front, client: Tdmr, photos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_uploading, "PIECE_BYTES", 1000)
        offsets: list[int] = []
        send = _uploading._piece

        def restarting(*arguments: object) -> object:
            offsets.append(int(arguments[3]))  # type: ignore[call-overload]
            if len(offsets) == 2:
                with front.away():
                    pass
            return send(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(_uploading, "_piece", restarting)
        dataset = client.datasets.create(photos, wait=False, progress=False)

        assert stored(service, dataset.id) == sent(photos)
        assert sorted(set(offsets)) == list(range(0, len(sent(photos)), 1000))

    def test_goes_on_in_another_process(
        self, service: Service, front: Front, client: Tdmr, photos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content = sent(photos)
        with monkeypatch.context() as killed:
            killed.setattr(_uploading, "PIECE_BYTES", len(content) // 2)
            send, calls = _uploading._piece, []

            def interrupted(*arguments: object) -> object:
                calls.append(arguments)
                if len(calls) == 2:
                    raise KeyboardInterrupt
                return send(*arguments)  # type: ignore[arg-type]

            killed.setattr(_uploading, "_piece", interrupted)
            with pytest.raises(KeyboardInterrupt):
                client.datasets.create(photos, progress=False)
        log = io.StringIO()
        with Tdmr(front.url) as another:
            dataset = another.datasets.create(photos, wait=False, progress=Lines(log))

        assert log.getvalue().startswith("Uploading photos.zip  50%")
        assert stored(service, dataset.id) == content
        assert (counted(service, PartialRow), counted(service, DatasetRow)) == (1, 1)

    def test_makes_no_second_data_set_where_the_first_one_s_answer_was_lost(
        self, service: Service, front: Front, client: Tdmr, photos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as killed:
            # the process ends when the service has made the data set, and before the upload is forgotten
            killed.setattr("tdmr._uploads.Memory.forget", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                client.datasets.create(photos, wait=False, progress=False)
        client.datasets.create(photos, wait=False, progress=False)

        assert counted(service, DatasetRow) == 1

    def test_starts_over_where_the_service_has_forgotten_the_upload(
        self, service: Service, client: Tdmr, photos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as killed:
            killed.setattr(_uploading, "_piece", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                client.datasets.create(photos, progress=False)
        with service.store.write() as session:
            session.delete(session.scalars(select(PartialRow)).one())

        assert stored(service, client.datasets.create(photos, wait=False, progress=False).id) == sent(photos)

    def test_gives_up_once_its_patience_is_over(
        self, front: Front, photos: Path, surroundings: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        send = _uploading._piece

        def closing(*arguments: object) -> object:
            front.close()
            return send(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(_uploading, "_piece", closing)
        with Tdmr(front.url, patience=1) as client, pytest.raises(ConnectionFailed):
            client.datasets.create(photos, progress=False)


class TestAddresses:
    @pytest.fixture(params=[True, False], ids=["ranges", "no ranges"])
    def address(self, photos: Path, request: pytest.FixtureRequest) -> Iterator[str]:
        """Of an archive on another server, which sends parts or does not."""
        content = sent(photos)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                first = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")) if request.param else 0
                self.send_response(206 if request.param else 200)
                if request.param:
                    self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
                self.send_header("Content-Length", str(len(content) - first))
                self.end_headers()
                self.wfile.write(content[first:])

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/files/im%20ages.zip?token=secret"
        server.shutdown()
        server.server_close()

    def test_are_read_and_sent_on(self, service: Service, client: Tdmr, address: str, photos: Path) -> None:
        dataset = client.datasets.create(address, wait=False, progress=False, relay=True)

        assert dataset.name == "im ages.zip"
        assert stored(service, dataset.id) == sent(photos)

    def test_that_lead_nowhere_are_told_without_what_is_secret(self, client: Tdmr) -> None:
        with pytest.raises(UploadFailed) as failed:
            client.datasets.create("http://user:pw@127.0.0.1:9/a.zip?token=secret", relay=True)
        assert "secret" not in str(failed.value) and "pw" not in str(failed.value)

    def test_are_handed_to_the_service(self, client: Tdmr) -> None:
        dataset = client.datasets.create("https://files.example/im%20ages.zip?token=secret", wait=False)

        assert (dataset.name, dataset.state, dataset.sha256) == ("im ages.zip", "validating", None)
        assert dataset.source_url == "https://files.example/im%20ages.zip"

    @pytest.mark.parametrize(
        ("address", "code"),
        [
            ("http://127.0.0.1:9/a.zip?token=secret", "destination_refused"),
            ("s3://payroll/a.zip", "bucket_refused"),
            ("https://user:secret@files.example/a.zip", "invalid_request"),
        ],
    )
    def test_that_the_service_may_not_fetch_are_refused_at_once(self, client: Tdmr, address: str, code: str) -> None:
        with pytest.raises(APIError) as refused:
            client.datasets.create(address)
        assert refused.value.code == code
        assert "secret" not in str(refused.value)


class TestReading:
    def test_lists_names_and_deletes(self, service: Service, client: Tdmr) -> None:
        dataset_id = service.ready_dataset()

        assert [one.id for one in client.datasets.list()] == [dataset_id]
        dataset = client.datasets.get(dataset_id)
        assert dataset.report().images == 5
        assert "<html" in client.datasets.report_html(dataset_id)
        assert [one.name for one in client.datasets.classes(dataset_id)] == ["0", "1"]
        dataset.delete()
        assert client.datasets.list().to_list() == []
