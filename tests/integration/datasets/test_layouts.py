"""An archive that can be read in several ways: the question, the answer, and what its owner says beforehand."""

import base64
from collections.abc import Iterator

import pytest

from app.db.models import Dataset
from app.domain.dataset import OfferedReading, Understanding
from app.services.dataset_leases import ask_about_dataset, claim_dataset
from tests.bad_inputs.importing import Door, open_door, picture, zipped, zipped_as
from tests.integration.conftest import Service
from tests.integration.datasets.test_cases import answer

QUESTION = Understanding(
    sentence="2 readings are possible.",
    reading="folders:1",
    readings=tuple(
        OfferedReading(id=f"folders:{n}", sentence=f"{n} classes.", class_count=2, classes=("a", "b")) for n in (1, 2)
    ),
)
TUS = {"Tus-Resumable": "1.0.0"}


def asked(service: Service) -> str:
    dataset_id = service.validating_dataset()
    with service.store.write() as session:
        held = claim_dataset(session, dataset_id, "wk_1")
        assert held is not None
        assert ask_about_dataset(session, held, QUESTION)
    return dataset_id


def row(service: Service, dataset_id: str) -> Dataset:
    with service.store.read() as session:
        return session.get_one(Dataset, dataset_id)


class TestQuestion:
    def test_is_shown_with_the_readings_and_keeps_the_archive(self, service: Service) -> None:
        dataset_id = asked(service)
        shown = service.http.get(f"/v1/datasets/{dataset_id}?wait=30").json()
        assert (shown["state"], shown["error"], shown["classes"]) == ("needs_answer", None, None)
        assert [reading["id"] for reading in shown["layout"]["readings"]] == ["folders:1", "folders:2"]
        assert row(service, dataset_id).upload_key is not None
        (listed,) = service.http.get("/v1/datasets").json()["data"]
        assert (listed["state"], "layout" in listed) == ("needs_answer", False)

    def test_no_job_no_report_and_no_worker_takes_it(self, service: Service) -> None:
        dataset_id = asked(service)
        spec = service.spec() | {"dataset_id": dataset_id}
        for refused in (
            service.http.post("/v1/jobs", json=spec),
            service.http.get(f"/v1/datasets/{dataset_id}/report"),
        ):
            assert (refused.status_code, refused.json()["code"]) == (409, "dataset_not_ready")
            assert "/layout" in refused.json()["hint"]
        with service.store.write() as session:
            assert claim_dataset(session, dataset_id, "wk_2") is None

    def test_ends_the_stream_of_the_import(self, service: Service) -> None:
        told = service.http.get(f"/v1/datasets/{asked(service)}/events").text
        assert "event: end" in told
        assert '"state":"needs_answer"' in told

    def test_is_counted_and_can_be_deleted(self, service: Service) -> None:
        dataset_id = asked(service)
        assert 'state="needs_answer"} 1' in service.http.get("/metrics").text
        assert service.http.delete(f"/v1/datasets/{dataset_id}").status_code == 204

    def test_is_told_to_webhooks_and_the_answer_is_not(self, service: Service) -> None:
        made = service.http.post("/v1/webhooks", json={"url": "https://hooks.example/", "event_types": ["dataset.*"]})
        assert made.status_code == 201, made.text
        dataset_id = asked(service)
        assert service.http.post(f"/v1/datasets/{dataset_id}/layout", json={"layout": "folders:1"}).status_code == 202
        sent = service.http.get(f"/v1/webhooks/{made.json()['id']}/deliveries").json()["data"]
        assert [(one["event_type"], one["object_id"]) for one in sent] == [("dataset.needs_answer", dataset_id)]


class TestAnswer:
    def test_sends_it_to_the_import_again(self, service: Service) -> None:
        dataset_id = asked(service)
        chosen = service.http.post(f"/v1/datasets/{dataset_id}/layout", json={"layout": "folders:2"})
        assert (chosen.status_code, chosen.json()["state"]) == (202, "validating")
        assert chosen.headers["Location"] == f"/v1/datasets/{dataset_id}"
        (message,) = service.messages(1)
        assert dataset_id in message.read_text() or "tdmr.import_dataset" in message.read_text()
        with service.store.write() as session:
            claim = claim_dataset(session, dataset_id, "wk_2")
        assert claim is not None
        assert (claim.options.layout, claim.epoch, row(service, dataset_id).answered_epoch) == ("folders:2", 2, 1)
        (entry, *_) = service.http.get(f"/v1/audit?object_id={dataset_id}").json()["data"]
        assert entry["action"] == "choose_dataset_layout"

    def test_must_be_one_of_those_offered(self, service: Service) -> None:
        dataset_id = asked(service)
        refused = service.http.post(f"/v1/datasets/{dataset_id}/layout", json={"layout": "folders:9"})
        assert (refused.status_code, refused.json()["code"]) == (422, "unknown_layout")
        assert "folders:1, folders:2" in refused.json()["hint"]
        assert row(service, dataset_id).state == "needs_answer"

    @pytest.mark.parametrize("state", ["validating", "ready"])
    def test_without_a_question_is_a_conflict(self, service: Service, state: str) -> None:
        dataset_id = service.validating_dataset() if state == "validating" else service.ready_dataset()
        refused = service.http.post(f"/v1/datasets/{dataset_id}/layout", json={"layout": "folders:1"})
        assert (refused.status_code, refused.json()["code"]) == (409, "state_conflict")

    @pytest.mark.parametrize("body", [{}, {"layout": ""}, {"layout": 1}, {"layout": "a", "more": 1}])
    def test_is_checked(self, service: Service, body: dict[str, object]) -> None:
        assert service.http.post(f"/v1/datasets/{asked(service)}/layout", json=body).status_code == 422


class TestSaidBeforehand:
    OPTIONS = {"layout": "folders:2", "encoding": "gbk", "labels_column": "breed", "stretch": "true"}
    STORED = {**OPTIONS, "stretch": True, "unlabelled_classes": ["unknown", "other"]}

    def test_as_fields_of_the_form(self, service: Service) -> None:
        data = self.OPTIONS | {"unlabelled_classes": "unknown, other", "name": "mine"}
        made = service.http.post("/v1/datasets", files={"file": ("a.zip", b"PK\x03\x04")}, data=data)
        assert made.status_code == 202, made.text
        assert (row(service, made.json()["id"]).options, made.json()["name"]) == (self.STORED, "mine")

    def test_in_the_query_of_a_bare_archive(self, service: Service) -> None:
        query = [*self.OPTIONS.items(), ("unlabelled_classes", "unknown"), ("unlabelled_classes", "other")]
        headers = {"Content-Type": "application/zip"}
        made = service.http.post("/v1/datasets", params=query, content=b"PK\x03\x04", headers=headers)
        assert row(service, made.json()["id"]).options == self.STORED

    def test_as_metadata_of_a_resumable_upload_and_in_json(self, service: Service) -> None:
        said = {**self.OPTIONS, "unlabelled_classes": "unknown,other", "labels_column": "other"}
        pairs = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in said.items())
        piece = {"Content-Type": "application/offset+octet-stream", "Upload-Length": "4", "Upload-Metadata": pairs}
        sent = service.http.post("/v1/uploads", headers=TUS | piece, content=b"PK\x03\x04")
        upload_id = sent.headers["Location"].rpartition("/")[2]
        made = service.http.post("/v1/datasets", json={"upload_id": upload_id, "labels_column": "breed"})
        assert made.status_code == 202, made.text
        assert row(service, made.json()["id"]).options == self.STORED

    @pytest.mark.parametrize("field", [{"layout": "a\x00b"}, {"encoding": "x" * 50}, {"stretch": "maybe"}])
    def test_is_checked(self, service: Service, field: dict[str, str]) -> None:
        refused = service.http.post("/v1/datasets", files={"file": ("a.zip", b"PK\x03\x04")}, data=field)
        assert refused.status_code == 422
        assert next(iter(field)) in str(refused.json()["errors"][0])

    def test_is_checked_before_the_bytes_of_a_resumable_upload_are_sent(self, service: Service) -> None:
        pairs = f"encoding {base64.b64encode(b'x' * 50).decode()}"
        headers = TUS | {"Upload-Length": "4", "Upload-Metadata": pairs}
        assert service.http.post("/v1/uploads", headers=headers).status_code == 422

    def test_nothing_said_is_nothing_stored(self, service: Service) -> None:
        made = service.http.post("/v1/datasets", files={"file": ("a.zip", b"PK\x03\x04")})
        assert row(service, made.json()["id"]).options is None


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    yield from open_door(tmp_path_factory.mktemp("home"))


def nested() -> bytes:
    folders = ("site a/cat", "site a/dog", "site b/cat", "site b/dog")
    return zipped({f"{f}/{i}.png": picture(10 * n + i) for n, f in enumerate(folders) for i in range(5)})


class TestImport:
    def test_asks_whether_the_names_of_files_are_classes(self, door: Door) -> None:
        names = [f"{name}.{i}.png" for name in ("cat", "dog") for i in range(8)]
        dataset = door.imported(zipped({f"train/{name}": picture(10 * n) for n, name in enumerate(names)}))
        assert dataset["state"] == "needs_answer"
        told = "It may be 2 classes from the words in the names of the files (names). Confirm it if that is meant."
        assert dataset["layout"]["sentence"] == told
        ended = answer(door, dataset, "names")
        assert (ended["state"], ended["classes"]) == ("ready", ["cat", "dog"])
        assert ended["layout"]["sentence"].startswith("2 classes from the words in the names of the files")

    def test_asks_once_and_is_ready_with_the_answer(self, door: Door) -> None:
        dataset = door.imported(nested())
        assert dataset["state"] == "needs_answer"
        offered = {one["id"]: one["classes"] for one in dataset["layout"]["readings"]}
        assert offered["folders:2"] == ["cat", "dog"]
        assert offered["folders:1"] == ["site a", "site b"]
        assert next(iter(offered)) == "folders:2"
        ended = answer(door, dataset, "folders:1")
        assert (ended["state"], ended["classes"]) == ("ready", ["site a", "site b"])
        assert ended["layout"]["sentence"].startswith("2 classes from the top folders")

    def test_does_not_ask_who_has_said_it(self, door: Door) -> None:
        made = door.http.post("/v1/datasets", files={"file": ("a.zip", nested())}, data={"layout": "folders:2"})
        door.importer.run(made.json()["id"])
        ended = door.http.get(made.headers["Location"]).json()
        assert (ended["state"], ended["classes"]) == ("ready", ["cat", "dog"])

    def test_asks_again_where_the_reading_is_not_there(self, door: Door) -> None:
        made = door.http.post("/v1/datasets", files={"file": ("a.zip", nested())}, data={"layout": "coco"})
        door.importer.run(made.json()["id"])
        ended = door.http.get(made.headers["Location"]).json()
        assert ended["state"] == "needs_answer"
        assert any("There is no reading `coco`" in warning for warning in ended["layout"]["warnings"])

    def test_the_names_of_a_zip_are_read_as_its_owner_says(self, door: Door) -> None:
        content = zipped_as(
            "cp866",
            {f"{name}/{i}.png": picture(50 * n + i) for n, name in enumerate(("яблоко", "груша")) for i in range(5)},
        )
        for data in ({}, {"encoding": "cp866"}):
            made = door.http.post("/v1/datasets", files={"file": ("a.zip", content)}, data=data)
            door.importer.run(made.json()["id"])
            assert door.http.get(made.headers["Location"]).json()["classes"] == ["груша", "яблоко"]
