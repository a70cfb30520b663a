"""Data sets whose archive is fetched from an address: over HTTP, and by the import worker."""

import logging
import threading
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO

import fsspec
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.db.models import Dataset
from app.domain.states import DatasetState
from app.settings import Settings
from app.storage.blobs import Blobs
from tests.archives import Archive, hangs_after
from tests.integration.conftest import Service
from tests.integration.datasets.test_importing import archive_of, wait_for
from tests.receiving import Receiver, answers, receiving
from tests.support import client_of
from worker.importing import Importer

ARCHIVE = archive_of(images_per_class=6)


def zip_of(names: list[str]) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, name in enumerate(names):
            picture = BytesIO()
            Image.new("RGB", (32, 32), (number * 9, 90, 7)).save(picture, "PNG")
            archive.writestr(name, picture.getvalue())
    return file.getvalue()


@dataclass
class Fetching:
    """The service, an import worker, and a web server that both may reach."""

    service: Service
    server: Receiver
    stopping: threading.Event = field(default_factory=threading.Event)
    requeued: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/sets/pets.zip?token=s3cret"

    def send(self, url: str | None = None, **fields: object) -> str:
        answer = self.service.http.post("/v1/datasets", json={"source_url": url or self.url} | fields)
        assert answer.status_code == 202, answer.text
        assert "s3cret" not in answer.text
        dataset_id: str = answer.json()["id"]
        assert answer.headers["Location"] == f"/v1/datasets/{dataset_id}"
        return dataset_id

    def importer(self, **changes: object) -> Importer:
        settings = self.service.settings.model_copy(update=changes)
        return Importer(
            settings,
            self.service.store,
            self.service.blobs,
            "wk_1",
            self.stopping,
            requeue=self.requeued.append,
            pauses=(0.0,) * 4,
        )

    def row(self, dataset_id: str) -> Dataset:
        with self.service.store.read() as session:
            return session.get_one(Dataset, dataset_id)

    def shown(self, dataset_id: str) -> dict[str, object]:
        answer = self.service.http.get(f"/v1/datasets/{dataset_id}")
        assert "s3cret" not in answer.text
        shown: dict[str, object] = answer.json()
        return shown

    def refused(self, dataset_id: str) -> dict[str, str]:
        """Why it was rejected."""
        shown = self.shown(dataset_id)
        assert shown["state"] == "rejected"
        assert "s3cret" not in str(self.row(dataset_id).source_url)
        error = shown["error"]
        assert isinstance(error, dict)
        return error


@pytest.fixture
def fetching(settings: Settings, service: Service) -> Iterator[Fetching]:
    changes = {"outbound_allow": "127.0.0.1", "heartbeat_seconds": 0.1, "cancel_poll_seconds": 0.05}
    settings = service.settings.model_copy(update=changes)
    with receiving(Archive(ARCHIVE)) as server, client_of(settings) as http:
        yield Fetching(Service(http, service.store, Blobs(settings.storage), settings, service.tmp_path), server)


class TestFetch:
    def test_becomes_ready(self, fetching: Fetching) -> None:
        dataset_id = fetching.send()
        waiting = fetching.shown(dataset_id)
        assert (waiting["state"], waiting["name"], waiting["bytes"], waiting["sha256"]) == (
            "validating",
            "pets.zip",
            0,
            None,
        )
        assert waiting["source_url"] == f"http://127.0.0.1:{fetching.server.port}/sets/pets.zip"

        fetching.importer().run(dataset_id)

        ready = fetching.shown(dataset_id)
        assert (ready["state"], ready["images"], ready["bytes"], ready["progress"]) == ("ready", 12, len(ARCHIVE), 1)
        assert ready["classes"] == ["cat", "dog"]
        sent = fetching.service.http.post("/v1/datasets", files={"file": ("a.zip", ARCHIVE)}).json()
        assert ready["sha256"] == sent["sha256"]
        assert fetching.row(dataset_id).source_url == waiting["source_url"]
        assert list((fetching.service.settings.scratch / "downloads").iterdir()) == []

    def test_reads_what_its_owner_says(self, fetching: Fetching) -> None:
        dataset_id = fetching.send(name="two pets", unlabelled_classes=["dog"], layout="folders")
        fetching.importer().run(dataset_id)
        row = fetching.row(dataset_id)
        assert row.name == "two pets"
        assert row.options == {"layout": "folders", "unlabelled_classes": ["dog"]}

    def test_shows_how_far_the_download_is(self, fetching: Fetching) -> None:
        fetching.server.behaviour = hangs_after(ARCHIVE, len(ARCHIVE) // 2)
        dataset_id = fetching.send()
        thread = threading.Thread(target=fetching.importer().run, args=[dataset_id])
        thread.start()
        wait_for(lambda: fetching.row(dataset_id).progress > 0.2)
        shown = fetching.shown(dataset_id)
        assert (shown["state"], shown["bytes"]) == ("validating", len(ARCHIVE))
        assert 0.2 < float(str(shown["progress"])) <= 0.25
        assert fetching.service.http.delete(f"/v1/datasets/{dataset_id}").status_code == 204
        fetching.server.released.set()
        thread.join()

    def test_goes_on_where_a_worker_was_stopped(self, fetching: Fetching) -> None:
        fetching.server.behaviour = hangs_after(ARCHIVE, 2000)
        dataset_id = fetching.send()
        thread = threading.Thread(target=fetching.importer().run, args=[dataset_id])
        thread.start()
        kept = fetching.service.settings.scratch / "downloads" / dataset_id / "archive"
        wait_for(lambda: kept.is_file() and kept.stat().st_size == 2000)
        fetching.stopping.set()
        fetching.server.behaviour = again = Archive(ARCHIVE)
        fetching.server.released.set()
        thread.join()
        assert fetching.requeued == [dataset_id]
        assert "token=s3cret" in str(fetching.row(dataset_id).source_url)

        fetching.stopping.clear()
        fetching.importer().run(dataset_id)

        assert again.asked == ["bytes=2000-"]
        assert fetching.shown(dataset_id)["state"] == "ready"

    def test_asks_about_it_and_needs_no_second_download_for_the_answer(self, fetching: Fetching) -> None:
        names = [f"{label}/{day}/{n}.png" for label in ("cat", "dog") for day in ("mon", "tue") for n in range(4)]
        fetching.server.behaviour = Archive(zip_of(names))
        dataset_id = fetching.send()
        fetching.importer().run(dataset_id)
        assert fetching.shown(dataset_id)["state"] == "needs_answer"

        chosen = {"layout": "folders:1"}
        assert fetching.service.http.post(f"/v1/datasets/{dataset_id}/layout", json=chosen).status_code == 202
        fetching.importer().run(dataset_id)

        assert fetching.shown(dataset_id)["classes"] == ["cat", "dog"]
        assert len(fetching.server.received) == 1

    def test_fetches_from_a_bucket_that_the_operator_has_opened(self, fetching: Fetching, s3: str) -> None:
        bucket, files = f"pets-{uuid.uuid4().hex}", fsspec.filesystem("s3")
        files.makedirs(f"s3://{bucket}")
        files.pipe_file(f"s3://{bucket}/sets/pets.zip", ARCHIVE)
        opened = {"source_buckets": f"{bucket}/sets"}
        with client_of(fetching.service.settings.model_copy(update=opened)) as http:
            answer = http.post("/v1/datasets", json={"source_url": f"s3://{bucket}/sets/pets.zip"})
            assert answer.status_code == 202, answer.text
            fetching.importer(**opened).run(answer.json()["id"])
            shown = http.get(answer.headers["Location"]).json()
        assert (shown["state"], shown["source_url"]) == ("ready", f"s3://{bucket}/sets/pets.zip")


class TestRefusals:
    @pytest.mark.parametrize(
        "url",
        [
            *("http://127.0.0.2/a.zip", "http://[::1]/a.zip", "http://localhost/a.zip", "http://10.0.0.1/a.zip"),
            *("http://169.254.169.254/latest/", "http://2130706433/a.zip", "https://[fe80::1]/a.zip"),
        ],
    )
    def test_addresses_that_are_not_public(self, service: Service, url: str) -> None:
        answer = service.http.post("/v1/datasets", json={"source_url": url})
        assert (answer.status_code, answer.json()["code"]) == (422, "destination_refused")
        assert answer.json()["param"] == "source_url"

    def test_a_bucket_that_is_not_open(self, service: Service) -> None:
        answer = service.http.post("/v1/datasets", json={"source_url": "s3://payroll/a.zip"})
        assert (answer.status_code, answer.json()["code"]) == (422, "bucket_refused")

    @pytest.mark.parametrize(
        "body",
        [
            {"source_url": "ftp://a.example/s3cret"},
            {"source_url": "https://me:s3cret@a.example/a.zip"},
            {"source_url": "https://a.example/?s3cret", "upload_id": "upl_1"},
            {"source_url": ["s3cret"]},
        ],
    )
    def test_what_is_no_such_request(
        self, service: Service, body: dict[str, object], caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = service.http.post("/v1/datasets", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert "s3cret" not in answer.text + caplog.text

    @pytest.mark.parametrize(
        ("behaviour", "code"),
        [
            (answers(404), "source_not_found"),
            (answers(403), "source_forbidden"),
            (answers(503), "source_unavailable"),
            (answers(302, Location="http://169.254.169.254/latest/?s3cret"), "destination_refused"),
            (answers(200, b"PK", **{"Content-Length": str(10**11)}), "source_too_large"),
            (Archive(b"<html>sign in</html>", media_type="text/html"), "source_not_an_archive"),
            (hangs_after(ARCHIVE, 0), "source_too_slow"),
            (Archive(b"\x00" * 3000), "dataset_rejected"),
        ],
    )
    def test_are_told_by_their_codes_and_without_secrets(
        self, fetching: Fetching, behaviour: Archive, code: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        for ours in ("app", "worker"):  # all that TDMR_LOG_LEVEL=debug lets through
            caplog.set_level(logging.DEBUG, ours)
        fetching.server.behaviour = behaviour
        dataset_id = fetching.send()
        fetching.importer(fetch_idle_seconds=0.3, fetch_min_bytes_per_second=10**6).run(dataset_id)
        assert fetching.refused(dataset_id)["code"] == code
        assert "s3cret" not in caplog.text

    def test_a_quota_that_has_no_room_for_it(self, fetching: Fetching) -> None:
        dataset_id = fetching.send()
        fetching.importer(tenant_max_bytes=len(ARCHIVE) - 1).run(dataset_id)
        assert fetching.refused(dataset_id)["code"] == "bytes_quota_exceeded"


def post(http: TestClient, key: str, **request: object) -> tuple[int, str, str | None]:
    answer = http.post("/v1/datasets", headers={"Idempotency-Key": key}, **request)  # type: ignore[arg-type]
    told = answer.json()
    return answer.status_code, told.get("id") or told["code"], answer.headers.get("Idempotent-Replayed")


class TestIdempotency:
    def test_the_same_file_gives_the_same_data_set(self, service: Service) -> None:
        send = {"files": {"file": ("pets.zip", ARCHIVE)}, "data": {"layout": "folders"}}
        status, dataset_id, replayed = post(service.http, "k-1", **send)
        assert (status, replayed) == (202, None)
        assert post(service.http, "k-1", **send) == (202, dataset_id, "true")
        assert post(service.http, "k-2", **send)[1] != dataset_id

    @pytest.mark.parametrize(
        "other",
        [
            {"files": {"file": ("pets.zip", ARCHIVE + b"x")}},
            {"files": {"file": ("cats.zip", ARCHIVE)}},
            {"files": {"file": ("pets.zip", ARCHIVE)}, "data": {"layout": "folders"}},
            {"json": {"source_url": "https://a.example/pets.zip"}},
        ],
    )
    def test_the_key_of_another_request_is_refused(self, service: Service, other: dict[str, object]) -> None:
        post(service.http, "k-1", files={"file": ("pets.zip", ARCHIVE)})
        assert post(service.http, "k-1", **other)[:2] == (422, "idempotency_key_reused")
        assert len(service.http.get("/v1/datasets").json()["data"]) == 1
        stored = list((service.settings.root / "blobs" / "uploads").iterdir())
        assert len(stored) == 1

    def test_the_same_address_gives_the_same_data_set(self, service: Service) -> None:
        asked = {"json": {"source_url": "https://a.example/pets.zip?token=1"}}
        _, dataset_id, _ = post(service.http, "k-1", **asked)
        assert post(service.http, "k-1", **asked) == (202, dataset_id, "true")
        other = {"json": {"source_url": "https://a.example/pets.zip?token=2"}}
        assert post(service.http, "k-1", **other)[:2] == (422, "idempotency_key_reused")

    def test_a_bare_archive_and_its_media_type_of_windows(self, service: Service) -> None:
        send = {"content": ARCHIVE, "params": {"name": "pets"}}
        answers_ = [
            service.http.post(
                "/v1/datasets",
                headers={"Content-Type": "application/x-zip-compressed", "Idempotency-Key": "k-1"},
                **send,  # type: ignore[arg-type]
            )
            for _ in range(2)
        ]
        assert [answer.status_code for answer in answers_] == [202, 202]
        assert len({answer.json()["id"] for answer in answers_}) == 1

    def test_twins_that_come_at_once_make_one(self, service: Service) -> None:
        found: list[tuple[int, str, str | None]] = []

        def send() -> None:
            found.append(post(service.http, "k-1", files={"file": ("pets.zip", ARCHIVE)}))

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {status for status, _, _ in found} == {202}
        assert len({dataset_id for _, dataset_id, _ in found}) == 1
        assert [replayed for _, _, replayed in found].count(None) == 1

    def test_a_key_of_a_job_and_one_of_a_data_set_are_two(self, service: Service) -> None:
        spec = service.spec()
        headers = {"Idempotency-Key": "k-1"}
        assert service.http.post("/v1/jobs", json=spec, headers=headers).status_code == 202
        assert post(service.http, "k-1", files={"file": ("pets.zip", ARCHIVE)})[0] == 202

    def test_a_key_is_free_again_with_its_data_set(self, service: Service) -> None:
        _, dataset_id, _ = post(service.http, "k-1", json={"source_url": "https://a.example/pets.zip"})
        assert service.http.delete(f"/v1/datasets/{dataset_id}").status_code == 204
        assert post(service.http, "k-1", json={"source_url": "https://a.example/cats.zip"})[0] == 202

    def test_the_state_of_what_is_waited_for(self, service: Service) -> None:
        assert service.http.get("/v1/datasets").json()["data"] == []
        post(service.http, "k-1", json={"source_url": "https://a.example/pets.zip"})
        (listed,) = service.http.get("/v1/datasets").json()["data"]
        assert (listed["state"], listed["source_url"]) == (DatasetState.VALIDATING, "https://a.example/pets.zip")
