"""Data sets over HTTP."""

import hashlib
from pathlib import Path

import pytest

from app.services.dataset_leases import claim_dataset, reject_dataset
from app.storage.keys import upload_key
from tests.integration.conftest import Service

CONTENT = b"PK\x03\x04" + bytes(range(256)) * 20


def folder_files(path: Path) -> list[str]:
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())


class TestUpload:
    def test_keeps_the_bytes_and_answers_before_the_import(self, service: Service) -> None:
        answer = service.http.post("/v1/datasets", files={"file": ("dir/digits.zip", CONTENT)})
        body = answer.json()
        assert answer.status_code == 202
        assert answer.headers["Location"] == f"/v1/datasets/{body['id']}"
        assert (body["name"], body["state"], body["bytes"]) == ("digits.zip", "validating", len(CONTENT))
        assert body["sha256"] == hashlib.sha256(CONTENT).hexdigest()
        with service.blobs.open(upload_key(body["id"])) as stream:
            assert stream.read() == CONTENT
        assert folder_files(service.settings.scratch) == []

    def test_nudges_an_import_worker(self, service: Service) -> None:
        dataset_id = service.http.post("/v1/datasets", files={"file": ("a.zip", CONTENT)}).json()["id"]
        (message,) = service.messages(1)
        assert "tdmr.import_dataset" in message.read_text()
        assert message.name.endswith("datasets.msg")
        with service.store.write() as session:
            assert claim_dataset(session, dataset_id, "wk_1") is not None

    def test_takes_a_file_of_exactly_the_limit(self, service: Service) -> None:
        answer = service.http.post("/v1/datasets", files={"file": ("a.zip", bytes(100_000))})
        assert answer.status_code == 202

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"nonsense",
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
            b"--b\r\n" + b"X-Long: " + b"x" * 100_000,
            b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n\r\n' * 1000,
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc\r\n' * 2 + b"--b--\r\n",
        ],
        ids=["empty", "no form", "cut off", "giant header", "many parts", "two files"],
    )
    def test_refuses_a_broken_form_and_leaves_nothing(self, service: Service, body: bytes) -> None:
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = service.http.post("/v1/datasets", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
        assert folder_files(service.settings.scratch) == []
        assert service.http.get("/v1/datasets").json()["data"] == []

    def test_asks_for_the_file(self, service: Service) -> None:
        answer = service.http.post("/v1/datasets", files={"name": (None, "x")})
        assert (answer.status_code, answer.json()["param"]) == (422, "file")


class TestRead:
    def test_pages_newest_first(self, service: Service) -> None:
        ids = [service.validating_dataset() for _ in range(5)][::-1]
        first = service.http.get("/v1/datasets", params={"limit": 3}).json()
        assert [item["id"] for item in first["data"]] == ids[:3]
        assert (first["object"], first["first_id"], first["last_id"], first["has_more"]) == (
            "list",
            ids[0],
            ids[2],
            True,
        )
        second = service.http.get("/v1/datasets", params={"limit": 3, "after": first["last_id"]}).json()
        assert [item["id"] for item in second["data"]] == ids[3:]
        assert second["has_more"] is False

    def test_shows_classes_and_counts_when_ready(self, service: Service) -> None:
        body = service.http.get(f"/v1/datasets/{service.ready_dataset()}").json()
        assert (body["state"], body["classes"], body["images"]) == ("ready", ["0", "1"], 5)
        assert body["counts"] == {"train": 4, "test": 1}


class TestReport:
    def test_says_what_was_found(self, service: Service) -> None:
        body = service.http.get(f"/v1/datasets/{service.ready_dataset()}/report").json()
        assert body["counts"]["train"] == {"0": 2, "1": 2}

    def test_waits_for_the_import(self, service: Service) -> None:
        answer = service.http.get(f"/v1/datasets/{service.validating_dataset()}/report")
        assert (answer.status_code, answer.json()["code"]) == (409, "dataset_not_ready")

    def test_says_why_a_data_set_was_rejected(self, service: Service) -> None:
        dataset_id = service.validating_dataset()
        with service.store.write() as session:
            claim = claim_dataset(session, dataset_id, "wk_1")
            assert claim is not None
            reject_dataset(session, claim, {"code": "dataset_rejected", "detail": "This is no archive."})
        answer = service.http.get(f"/v1/datasets/{dataset_id}/report")
        assert answer.status_code == 409
        assert "This is no archive." in answer.json()["detail"]
        assert service.http.get(f"/v1/datasets/{dataset_id}").json()["error"]["detail"] == "This is no archive."


class TestDelete:
    def test_removes_the_row_and_the_bytes(self, service: Service) -> None:
        dataset_id = service.http.post("/v1/datasets", files={"file": ("a.zip", CONTENT)}).json()["id"]
        assert service.http.delete(f"/v1/datasets/{dataset_id}").status_code == 204
        assert service.http.get(f"/v1/datasets/{dataset_id}").status_code == 404
        assert not service.blobs.exists(upload_key(dataset_id))

    def test_is_refused_while_a_job_needs_it(self, service: Service) -> None:
        dataset_id = service.ready_dataset()
        job_id = service.submit(dataset_id=dataset_id)
        answer = service.http.delete(f"/v1/datasets/{dataset_id}")
        assert (answer.status_code, answer.json()["code"]) == (409, "dataset_in_use")
        service.http.post(f"/v1/jobs/{job_id}/cancel")
        assert service.http.delete(f"/v1/datasets/{dataset_id}").status_code == 204
        assert service.http.get(f"/v1/jobs/{job_id}").json()["dataset_id"] == dataset_id
