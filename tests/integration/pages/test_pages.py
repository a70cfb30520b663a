"""Pages: who gets one, and what it shows."""

import re

import pytest
from sqlalchemy import update

from app.db.models import Job
from app.domain.access import Scope
from app.domain.previews import PREVIEW_WEIGHTS, PreviewMark
from app.domain.states import StopRequest
from app.services.leases import claim_job, keep_preview, release_job
from app.storage.published import StoredFile
from tests.integration.conftest import Service
from tests.integration.datasets.test_layouts import QUESTION, asked
from tests.integration.guarding import OPERATOR_KEY, guard, key_of
from tests.integration.pages.browsing import PAGES, csrf_of, ended, get, post, secret_of, sign_in


class TestNegotiation:
    @pytest.mark.parametrize("path", PAGES)
    def test_a_browser_gets_a_page(self, service: Service, path: str) -> None:
        answer = get(service.http, path)
        assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html")
        assert "Accept" in answer.headers["Vary"]
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy

    @pytest.mark.parametrize("path", ["/jobs", "/datasets", "/keys"])
    @pytest.mark.parametrize("accept", ["*/*", "application/json"])
    def test_a_program_gets_none(self, service: Service, path: str, accept: str) -> None:
        answer = service.http.get(path, headers={"Accept": accept})
        assert "json" in answer.headers["Content-Type"]

    def test_nothing_in_a_page_would_break_its_policy(self, service: Service) -> None:
        job_id = ended(service)
        for path in (*PAGES, f"/jobs/{job_id}", f"/datasets/{service.ready_dataset()}"):
            text = get(service.http, path).text
            assert not re.search(r"<[^>]*\s(style|on[a-z]+)=", text), path
            assert not re.search(r"<script(?![^>]*src=)|<style", text), path
            assert not re.search(r'(src|href|action)="(https?:)?//', text), path

    def test_what_is_not_there_is_told_as_a_page(self, service: Service) -> None:
        for path in ("/jobs/job_1", "/datasets/ds_1", "/nowhere"):
            answer = get(service.http, path)
            assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
            assert "/v1/" not in answer.text
        assert '<a href="/datasets">Data sets</a> lists your data sets.' in get(service.http, "/datasets/ds_1").text

    def test_static_files_are_kept_by_browsers(self, service: Service) -> None:
        address = re.search(r"/static/[0-9a-f]+/app\.css", get(service.http, "/").text)
        assert address is not None
        answer = service.http.get(address[0])
        assert answer.status_code == 200 and "immutable" in answer.headers["Cache-Control"]


class TestShown:
    def test_an_ended_job_with_its_verdict_matrix_and_files(self, service: Service) -> None:
        text = get(service.http, f"/jobs/{ended(service)}").text
        assert "The student is right about" in text and "no difference to its teacher can be told" in text
        assert 'aria-label="3 of cat answered dog"' in text
        assert "manifest.json" in text and "4.92" in text
        assert "&lt;script&gt;alert(1)" in text and "<script>alert" not in text

    def test_the_images_behind_a_cell(self, service: Service) -> None:
        job_id = ended(service)
        answer = get(service.http, f"/jobs/{job_id}/cell?label=cat&predicted=dog")
        assert answer.status_code == 200 and "taken for" in answer.text and "cat/1.png" in answer.text
        assert get(service.http, f"/jobs/{job_id}/cell?label=cat&predicted=cow").status_code == 404

    def test_jobs_side_by_side(self, service: Service) -> None:
        first, second = ended(service), service.submit(seed=7)
        text = get(service.http, f"/jobs/compare?job={first}&job={second}").text
        assert "What was asked for differently" in text and "seed" in text and first in text and second in text
        assert get(service.http, f"/jobs/compare?ids={first},{second}").status_code == 200
        assert "Choose two to ten" in get(service.http, f"/jobs/compare?job={first}").text
        assert get(service.http, f"/jobs/compare?job={first}&job=job_{'0' * 26}").status_code == 404

    def test_a_job_of_another_version_is_shown_as_far_as_it_can_be_read(self, service: Service) -> None:
        job_id = ended(service)
        with service.store.write() as session:
            session.execute(update(Job).where(Job.id == job_id).values(evaluation={"accuracy": 0.5}))
        assert get(service.http, f"/jobs/{job_id}").status_code == 200

    def test_lists_go_on_on_the_next_page(self, service: Service) -> None:
        ids = [service.submit() for _ in range(27)]
        first = get(service.http, "/jobs").text
        onward = re.search(r'rel="next" href="([^"]+)"', first)
        assert onward is not None and ids[0] not in first and ids[-1] in first
        assert ids[0] in get(service.http, "/jobs" + onward[1].replace("&amp;", "&")).text

    def test_filters(self, service: Service) -> None:
        kept, other = service.submit(metadata={"owner": "ann"}), service.submit()
        text = get(service.http, "/jobs?state=queued&metadata[owner]=ann").text
        assert kept in text and other not in text
        assert kept not in get(service.http, "/jobs?state=failed").text

    def test_the_overview_sums_what_is_stored(self, service: Service) -> None:
        service.http.post("/v1/datasets", files={"file": ("a.zip", b"PK\x03\x04" + bytes(4_000))})
        sent = service.http.post("/v1/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "25000"})
        assert sent.status_code == 201, sent.text
        ended(service)
        text = get(service.http, "/").text
        for heading, words in (
            ("Data sets", r"\d\.\d kB"),
            ("Uploads under way", "25.0 kB"),
            ("Students", r"\d\.\d kB"),
        ):
            assert re.search(rf'<dt>{heading}[^<]*</dt><dd class="num">{words}</dd>', text), heading


class TestQuestion:
    def test_shows_each_reading_and_an_answer_sends_it_to_the_import(self, service: Service) -> None:
        dataset_id = asked(service)
        text = get(service.http, f"/datasets/{dataset_id}").text
        assert all(f'name="layout" value="{reading.id}" required' in text for reading in QUESTION.readings)
        assert "rejected on" in text and "Train on it" not in text
        assert f'href="/datasets/{dataset_id}">Say it' in get(service.http, "/").text
        answer = post(service.http, f"/forms/datasets/{dataset_id}/layout", layout="folders:2")
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/datasets/{dataset_id}")
        assert service.http.get(f"/v1/datasets/{dataset_id}").json()["state"] == "validating"
        assert service.messages(1)

    def test_of_a_reading_that_is_not_offered_is_told_as_a_page(self, service: Service) -> None:
        answer = post(service.http, f"/forms/datasets/{asked(service)}/layout", layout="folders:9")
        assert answer.status_code == 422 and "folders:1, folders:2" in answer.text

    def test_is_answered_by_those_who_may_write_with_their_token(self, service: Service) -> None:
        dataset_id, header = asked(service), key_of(service, "default", Scope.READ)
        with guard(service) as http:
            sign_in(http, secret_of(header))
            assert "Read it like this" not in get(http, f"/datasets/{dataset_id}").text
            url = f"/forms/datasets/{dataset_id}/layout"
            assert post(http, url, layout="folders:1", csrf=csrf_of(http)).status_code == 403
            sign_in(http, OPERATOR_KEY)
            assert post(http, url, layout="folders:1").status_code == 403
            assert post(http, url, layout="folders:1", csrf=csrf_of(http)).status_code == 303


class TestPreview:
    def test_is_offered_while_the_job_runs_and_kept_on_request(self, service: Service) -> None:
        job_id = service.submit()
        assert "Cancel, keep the preview" not in get(service.http, f"/jobs/{job_id}").text
        with service.store.write() as session:
            claim = claim_job(session, job_id, "wk_1")
            assert claim is not None
            mark = PreviewMark(student="mobilenetv3_small_050", step=1200, steps=4000, val_accuracy=0.75)
            file = StoredFile(f"jobs/{job_id}/previews/x", 3, "0" * 64)
            keep_preview(session, claim, mark, PREVIEW_WEIGHTS, file)
        text = get(service.http, f"/jobs/{job_id}").text
        assert "75.0\u00a0% on the validation images" in text and "step 1,200 of 4,000" in text
        assert "/predict?preview=true" in text and "student.preview.onnx" in text
        assert post(service.http, f"/forms/jobs/{job_id}", action="cancel_keeping_preview").status_code == 303
        with service.store.write() as session:
            job = session.get_one(Job, job_id)
            assert (job.stop_requested, job.keep_preview) == (StopRequest.CANCEL, True)
            assert release_job(session, claim, "stopped")
        text = get(service.http, f"/jobs/{job_id}").text
        assert "the student of the moment when the job was cancelled" not in text and "its weights alone" in text
