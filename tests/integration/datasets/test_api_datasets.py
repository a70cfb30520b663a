"""Data sets over HTTP."""

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, func, select

from app.db.models import DatasetClass
from app.domain.dataset import Split
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
        assert (body["class_count"], body["counts"]) == (2, {"train": 4, "test": 1})

    def test_shows_no_classes_before(self, service: Service) -> None:
        url = f"/v1/datasets/{service.validating_dataset()}"
        body = service.http.get(url).json()
        assert (body["classes"], body["class_count"], body["images"], body["counts"]) == (None, None, None, None)
        answer = service.http.get(f"{url}/classes")
        assert (answer.status_code, answer.json()["code"]) == (409, "dataset_not_ready")


class TestManyClasses:
    """A data set with more classes than can be shown at once."""

    NAMES = tuple(f"class-{number}" for number in range(450))

    @pytest.fixture
    def url(self, service: Service) -> str:
        counts = {Split.TRAIN: dict.fromkeys(self.NAMES, 3), Split.TEST: {self.NAMES[-1]: 2}}
        counts[Split.UNLABELLED] = {"": 7}
        images = 3 * len(self.NAMES) + 9
        return f"/v1/datasets/{service.ready_dataset(classes=self.NAMES, counts=counts, images=images)}"

    def test_are_counted_and_the_first_are_named(self, service: Service, url: str) -> None:
        body = service.http.get(url).json()
        assert (body["classes"], body["class_count"]) == (list(self.NAMES[:200]), 450)
        assert body["counts"] == {"train": 1350, "test": 2, "unlabelled": 7}

    def test_are_not_in_a_list(self, service: Service, url: str) -> None:
        (item,) = service.http.get("/v1/datasets").json()["data"]
        assert "classes" not in item
        assert item == {k: v for k, v in service.http.get(url).json().items() if k not in ("classes", "layout")}

    def test_a_list_reads_no_report(self, service: Service, url: str) -> None:
        statements: list[str] = []

        def note(_: object, __: object, statement: str, *___: object) -> None:
            statements.append(statement)

        event.listen(Engine, "before_cursor_execute", note)
        try:
            service.http.get("/v1/datasets")
            service.http.get(url)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        assert any("datasets.summary" in statement for statement in statements)
        assert not any("datasets.report" in statement for statement in statements)

    def test_are_paged_in_the_order_of_the_outputs(self, service: Service, url: str) -> None:
        found: list[dict[str, object]] = []
        after: dict[str, str] = {}
        while True:
            page = service.http.get(f"{url}/classes", params={"limit": 100} | after).json()
            found += page["data"]
            if not page["has_more"]:
                break
            after = {"after": page["last_id"]}
        assert [(item["index"], item["name"]) for item in found] == list(enumerate(self.NAMES))
        assert found[0]["counts"] == {"train": 3, "val": 0, "test": 0}
        assert found[-1]["counts"] == {"train": 3, "val": 0, "test": 2}

    def test_a_page_starts_where_it_is_told_to(self, service: Service, url: str) -> None:
        page = service.http.get(f"{url}/classes", params={"after": 447}).json()
        assert [item["name"] for item in page["data"]] == ["class-448", "class-449"]
        assert (page["first_id"], page["last_id"], page["has_more"]) == ("448", "449", False)
        assert service.http.get(f"{url}/classes", params={"after": -1}).status_code == 422

    def test_the_report_names_the_first_and_counts_all(self, service: Service, url: str) -> None:
        report = service.http.get(f"{url}/report").json()
        assert (report["classes"], report["class_count"]) == (list(self.NAMES[:200]), 450)
        assert list(report["counts"]["train"]) == list(self.NAMES[:200])
        assert report["counts"]["unlabelled"] == {"": 7}
        assert report["totals"] == {"train": 1350, "test": 2, "unlabelled": 7}

    def test_go_with_the_data_set(self, service: Service, url: str) -> None:
        assert service.http.delete(url).status_code == 204
        with service.store.read() as session:
            assert session.scalar(select(func.count()).select_from(DatasetClass)) == 0


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
