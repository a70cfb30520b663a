"""The report as JSON and as a page, over HTTP."""

import threading

import pytest

from app.db.models import Artifact, Dataset, Job
from app.domain.dataset import Preview, Split
from app.domain.review import DataReview, Suspect
from app.domain.states import JobState
from app.storage.keys import artifact_key, preview_key
from tests.bad_inputs.importing import good, zipped
from tests.integration.conftest import Service
from worker.importing import Importer

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def imported(service: Service) -> str:
    dataset_id: str = service.http.post("/v1/datasets", files={"file": ("pets.zip", zipped(good()))}).json()["id"]
    Importer(service.settings, service.store, service.blobs, "wk_1", threading.Event()).run(dataset_id)
    return dataset_id


class TestReport:
    @pytest.mark.parametrize(
        ("query", "accept", "media_type"),
        [
            ("", "*/*", "application/json"),
            ("", BROWSER, "text/html; charset=utf-8"),
            ("?format=html", "*/*", "text/html; charset=utf-8"),
            ("?format=json", BROWSER, "application/json"),
        ],
    )
    def test_comes_as_asked_for(self, service: Service, query: str, accept: str, media_type: str) -> None:
        url = f"/v1/datasets/{service.ready_dataset()}/report{query}"
        answer = service.http.get(url, headers={"Accept": accept})
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type)
        assert ("style-src 'sha256-" in answer.headers["Content-Security-Policy"]) == ("html" in media_type)

    def test_shows_what_was_imported(self, service: Service) -> None:
        dataset_id = imported(service)
        report = service.http.get(f"/v1/datasets/{dataset_id}/report").json()
        assert report["sizes"]["formats"] == {"PNG": 10}
        page = service.http.get(f"/v1/datasets/{dataset_id}/report?format=html").text
        assert (
            page.count("data:image/jpeg;base64,") == report["counts"]["train"]["cat"] + report["counts"]["train"]["dog"]
        )
        assert report["digest"] in page

    def test_is_a_problem_for_a_browser_too_where_there_is_none(self, service: Service) -> None:
        answer = service.http.get(f"/v1/datasets/{service.validating_dataset()}/report", headers={"Accept": BROWSER})
        assert (answer.status_code, answer.headers["Content-Type"]) == (409, "application/problem+json")

    def test_does_without_thumbnails_that_are_gone_or_damaged(self, service: Service) -> None:
        dataset_id = imported(service)
        url = f"/v1/datasets/{dataset_id}/report?format=html"
        with service.store.read() as session:
            prepared = session.get_one(Dataset, dataset_id).prepared_key
        assert prepared is not None
        damaged = service.tmp_path / "damaged"
        damaged.write_bytes(b"{")
        service.blobs.put_file(preview_key(prepared), damaged)
        assert service.http.get(url).text.count("<img") == 0
        service.blobs.delete(preview_key(prepared))
        assert service.http.get(url).text.count("<img") == 0

    def test_is_rendered_once(self, service: Service) -> None:
        """The second page has its thumbnails though the storage has lost them."""
        dataset_id = imported(service)
        url = f"/v1/datasets/{dataset_id}/report?format=html"
        first = service.http.get(url)
        with service.store.read() as session:
            prepared = session.get_one(Dataset, dataset_id).prepared_key
        assert prepared is not None
        service.blobs.delete(preview_key(prepared))
        second = service.http.get(url)
        assert second.text == first.text
        assert second.headers["ETag"] == first.headers["ETag"]
        known = service.http.get(url, headers={"If-None-Match": first.headers["ETag"]})
        assert (known.status_code, known.content) == (304, b"")

    def test_of_another_data_set_is_another(self, service: Service) -> None:
        one, other = (
            service.http.get(f"/v1/datasets/{imported(service)}/report?format=html").headers["ETag"] for _ in range(2)
        )
        assert one != other

    def test_thumbnails_go_with_the_data_set(self, service: Service) -> None:
        service.http.delete(f"/v1/datasets/{imported(service)}")
        assert [path for path in (service.settings.root / "blobs").rglob("*") if path.is_file()] == []

    def test_shows_what_the_youngest_job_thinks(self, service: Service) -> None:
        dataset_id = service.ready_dataset()
        for job_id, suggested in (("job_1", "first opinion"), ("job_2", "second opinion")):
            suspect = Suspect(path="0/1.png", split=Split.TRAIN, label="0", suggested=suggested, sure=1, picture="QUJD")
            review = DataReview(
                teacher="t", method="By its neighbours.", images=4, suspects=(suspect,), suspects_total=1, outliers=()
            )
            service.put_artifact(job_id, 1, "data_review.json", review.model_dump_json().encode())
            with service.store.write() as session:
                session.add(Job(id=job_id, dataset_id=dataset_id, state=JobState.SUCCEEDED, spec={}))
                session.flush()
                session.add(
                    Artifact(
                        job_id=job_id,
                        name="data_review.json",
                        bytes=1,
                        sha256="0" * 64,
                        media_type="application/json",
                        storage_key=artifact_key(job_id, 1, "data_review.json"),
                    )
                )
        page = service.http.get(f"/v1/datasets/{dataset_id}/report?format=html").text
        assert "second opinion" in page
        assert "first opinion" not in page


class TestPreview:
    def test_is_stored_beside_the_prepared_data_set(self, service: Service) -> None:
        dataset_id = imported(service)
        with service.store.read() as session:
            prepared = session.get_one(Dataset, dataset_id).prepared_key
        assert prepared is not None
        with service.blobs.open(preview_key(prepared)) as file:
            preview = Preview.model_validate_json(file.read())
        assert set(preview.examples) == {"cat", "dog"}
