"""Data sets that are tables of their images' addresses: over HTTP, and by the import worker."""

import hashlib
import threading
import zipfile
from collections.abc import Iterator

import pytest

from app.db.models import Dataset
from app.domain.address_tables import NOTES_NAME
from app.domain.states import DatasetState
from app.queue import make_celery
from app.services.dataset_leases import claim_dataset, keep_fetched, release_dataset
from app.storage.blobs import Blobs
from app.storage.keys import fetched_key
from tests.image_servers import ImageServer, table_of
from tests.integration.conftest import Service
from tests.integration.datasets.test_importing import archive_of, wait_for
from tests.integration.datasets.test_sources import Fetching
from tests.receiving import Receiver, receiving
from tests.support import client_of, files_below
from worker.reconciler import Reconciler

COUNT = 16


class Tables(Fetching):
    """The service, which takes tables of addresses, an import worker, and a web server that both may reach."""

    def table(self, query: str = "?token=s3cret") -> bytes:
        return table_of(self.server.port, COUNT, query)

    def upload(self, table: bytes | None = None, name: str = "urls.csv", **fields: str) -> str:
        files = {"file": (name, self.table() if table is None else table)}
        answer = self.service.http.post("/v1/datasets", files=files, data=fields)
        assert answer.status_code == 202, answer.text
        dataset_id: str = answer.json()["id"]
        return dataset_id

    def run(self, dataset_id: str, **changes: object) -> dict[str, object]:
        """Import it; gives what the service shows."""
        importer = self.importer(**changes)
        importer.image_pauses = ()
        importer.run(dataset_id)
        return self.shown(dataset_id)

    def report(self, dataset_id: str) -> dict[str, object]:
        answer = self.service.http.get(f"/v1/datasets/{dataset_id}/report")
        assert "s3cret" not in answer.text
        report: dict[str, object] = answer.json()
        return report

    def left(self) -> list[str]:
        """Files in the storage and in the folders of imports, once it was tidied up."""
        settings, service = self.service.settings, self.service
        reconciler = Reconciler(settings, service.store, service.blobs, make_celery(settings), threading.Event())
        reconciler.delete_leftovers()
        roots = [self.service.settings.root / "blobs", *self.service.settings.scratch.glob("*")]
        return sorted(path.name for root in roots for path in files_below(root))


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiving(ImageServer()) as receiver:
        yield receiver


@pytest.fixture
def tables(service: Service, server: Receiver) -> Iterator[Tables]:
    changes = {
        "outbound_allow": "127.0.0.1",
        "heartbeat_seconds": 0.1,
        "cancel_poll_seconds": 0.05,
        "fetch_images": True,
    }
    settings = service.settings.model_copy(update=changes)
    with client_of(settings) as http:
        yield Tables(Service(http, service.store, Blobs(settings.storage), settings, service.tmp_path), server)


class TestFetch:
    def test_becomes_ready_and_says_what_could_not_be_fetched(self, tables: Tables, server: Receiver) -> None:
        server.behaviour = images = ImageServer(lacks=frozenset({3, 4}))
        shown = tables.run(dataset_id := tables.upload())
        assert (shown["state"], shown["images"], shown["classes"]) == ("ready", COUNT - 2, ["cat", "dog"])
        assert shown["progress"] == 1
        layout = shown["layout"]
        assert isinstance(layout, dict)
        assert layout["sentence"].startswith("2 classes from the column `label` of `urls.csv`, splits drawn")
        assert layout["sentence"].endswith("; 14 images from their URLs, 2 could not be fetched.")
        report = tables.report(dataset_id)
        assert report["skipped_total"] == 2
        assert report["skipped"] == [
            {
                "path": f"127.0.0.1_{server.port}/images/{number}.png",
                "reason": "could not be fetched: nothing lies at its address",
            }
            for number in (3, 4)
        ]
        assert sorted(images.asked) == list(range(COUNT))
        assert tables.left() == ["prepared.zip", "preview.json"]

    def test_is_fetched_itself_from_its_address(self, tables: Tables, server: Receiver) -> None:
        server.behaviour = ImageServer(table=tables.table())
        url = f"http://127.0.0.1:{server.port}/urls.csv?token=s3cret"
        dataset_id = tables.send(url, labels_column="label")
        shown = tables.run(dataset_id)
        assert (shown["state"], shown["images"], shown["name"]) == ("ready", COUNT, "urls.csv")
        assert shown["source_url"] == f"http://127.0.0.1:{server.port}/urls.csv"
        assert tables.left() == ["prepared.zip", "preview.json"]

    def test_gives_what_the_packed_images_give(self, tables: Tables, server: Receiver) -> None:
        """Another address of the same images is the same content."""
        digests = []
        for query in ("", "?other=1"):
            dataset_id = tables.upload(tables.table(query))
            tables.run(dataset_id)
            digests.append(tables.row(dataset_id).digest)
        assert digests[0] == digests[1] is not None

    def test_goes_on_where_a_worker_was_stopped(self, tables: Tables, server: Receiver) -> None:
        server.behaviour = first = ImageServer(hangs_at=frozenset({9}))
        dataset_id = tables.upload()
        thread = threading.Thread(target=tables.run, args=[dataset_id])
        thread.start()
        whole = tables.service.settings.scratch / "images" / dataset_id / "whole"
        wait_for(lambda: whole.is_dir() and len(list(whole.iterdir())) == COUNT - 1)
        wait_for(lambda: 0 < tables.row(dataset_id).progress < 0.8)
        tables.stopping.set()
        server.released.set()
        thread.join()
        assert tables.requeued == [dataset_id]
        assert sorted(first.asked) == list(range(COUNT))

        tables.stopping.clear()
        kept = {int(path.name) for path in whole.iterdir()}
        server.behaviour = again = ImageServer()
        assert tables.run(dataset_id)["state"] == "ready"
        assert kept.isdisjoint(again.asked)  # the last one may have come while its worker stopped
        assert tables.left() == ["prepared.zip", "preview.json"]

    def test_asks_about_it_and_fetches_nothing_again_for_the_answer(self, tables: Tables, server: Receiver) -> None:
        rows = [f"http://127.0.0.1:{server.port}/images/{n}.png,{'ab'[n % 2]},{'xy'[n // 8]}" for n in range(COUNT)]
        server.behaviour = images = ImageServer()
        dataset_id = tables.upload("\n".join(["url,shape,place", *rows]).encode())
        shown = tables.run(dataset_id)
        assert shown["state"] == "needs_answer", shown
        assert len(images.asked) == COUNT
        layout = shown["layout"]
        assert isinstance(layout, dict)
        chosen = next(one["id"] for one in layout["readings"] if one["classes"] == ["x", "y"])

        answered = tables.service.http.post(f"/v1/datasets/{dataset_id}/layout", json={"layout": chosen})
        assert answered.status_code == 202
        assert tables.run(dataset_id)["classes"] == ["x", "y"]
        assert len(images.asked) == COUNT

    def test_leaves_no_table_behind_whose_worker_was_killed_once_it_was_replaced(self, tables: Tables) -> None:
        dataset_id = tables.upload()
        store, defaults = tables.service.store, tables.service.settings.quotas
        packed, archive = tables.service.tmp_path / "packed", archive_of(images_per_class=6)
        packed.write_bytes(archive)
        tables.service.blobs.put_file(key := fetched_key(dataset_id, 1), packed)
        with store.write() as session:
            claim = claim_dataset(session, dataset_id, "wk_killed")
            assert claim is not None
            sha256 = hashlib.sha256(archive).hexdigest()
            assert keep_fetched(session, defaults, claim, key, len(archive), sha256)
            assert release_dataset(session, claim)
        assert tables.run(dataset_id)["state"] == "ready"
        assert tables.left() == ["prepared.zip", "preview.json"]


class TestRefusals:
    @pytest.mark.parametrize("from_address", [False, True], ids=["uploaded", "fetched"])
    def test_where_the_operator_does_not_allow_it(self, tables: Tables, server: Receiver, from_address: bool) -> None:
        server.behaviour = images = ImageServer(table=tables.table())
        url = f"http://127.0.0.1:{server.port}/urls.csv"
        dataset_id = tables.send(url) if from_address else tables.upload()
        tables.run(dataset_id, fetch_images=False)
        error = tables.refused(dataset_id)
        assert error["code"] == ("source_not_an_archive" if from_address else "dataset_rejected")
        assert "TDMR_FETCH_IMAGES" in error["hint"]
        assert images.asked == []
        assert tables.left() == []

    @pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "localhost"])
    def test_addresses_that_are_not_public(self, tables: Tables, server: Receiver, host: str) -> None:
        server.behaviour = images = ImageServer()
        dataset_id = tables.upload(tables.table().replace(b"127.0.0.1", host.encode()))
        tables.run(dataset_id, outbound_allow="")
        error = tables.refused(dataset_id)
        assert "could not be fetched: this service may not connect to its address" in error["detail"]
        assert images.asked == []

    def test_a_table_without_addresses(self, tables: Tables) -> None:
        dataset_id = tables.upload(b"path,label,note\n1.jpg,cat,see https://a.example/\n2.jpg,dog,\n3.jpg,dog,\n")
        tables.run(dataset_id)
        assert tables.refused(dataset_id)["detail"] == "No column of urls.csv holds addresses of images."

    def test_images_that_are_none(self, tables: Tables, server: Receiver) -> None:
        server.behaviour = lambda handler: handler.reply(200, b"<!doctype html><html>sign in</html>")
        dataset_id = tables.upload()
        tables.run(dataset_id)
        assert "an HTML page" in tables.refused(dataset_id)["detail"]

    def test_a_quota_that_has_no_room_for_the_images(self, tables: Tables) -> None:
        dataset_id = tables.upload()
        tables.run(dataset_id, tenant_max_bytes=tables.row(dataset_id).bytes + 1)
        assert tables.refused(dataset_id)["code"] == "bytes_quota_exceeded"
        assert tables.left() == []

    def test_more_than_an_archive_may_have(self, tables: Tables) -> None:
        dataset_id = tables.upload()
        tables.run(dataset_id, max_upload_bytes=500)
        assert tables.refused(dataset_id)["code"] == "source_too_large"


class TestTurns:
    def test_a_table_waits_for_its_turn_as_a_download_does(self, tables: Tables, server: Receiver) -> None:
        server.behaviour = ImageServer(hangs_at=frozenset({0}))
        slow, after = tables.upload(), tables.upload(tables.table("?other=1"))
        thread = threading.Thread(target=tables.run, args=[slow])
        thread.start()
        wait_for(lambda: tables.row(slow).progress > 0)
        tables.importer().run(after)
        assert tables.row(after).epoch == 0
        server.released.set()
        thread.join()
        assert tables.row(slow).state == DatasetState.READY
        assert tables.requeued == [after]


class TestArchive:
    def test_notes_in_an_archive_of_a_stranger_do_no_harm(self, tables: Tables, server: Receiver) -> None:
        path = tables.service.tmp_path / "planted.zip"
        note = '{"cell": "http://169.254.169.254/", "path": "../../etc/passwd", "lost": null}\n'
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(NOTES_NAME, note)
            archive.writestr("urls.csv", tables.table())
        dataset_id = tables.upload(path.read_bytes(), "planted.zip")
        assert tables.run(dataset_id)["state"] == "rejected"
        assert server.received == []
        with tables.service.store.read() as session:
            assert session.get_one(Dataset, dataset_id).upload_key is None
