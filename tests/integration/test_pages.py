"""Pages: who gets one, who may see and do what on them, and what they send along."""

import hashlib
import re
import time
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from pydantic import SecretStr
from sqlalchemy import select, update

from app.api.deps import SESSION_COOKIE
from app.db.models import ApiKey, AuditEntry, Job, WebSession, utcnow
from app.domain.access import Scope
from app.domain.manifest import ArtifactFile
from app.domain.previews import PREVIEW_WEIGHTS, PreviewMark
from app.domain.progress import EventLine, MetricLine
from app.domain.states import JobState, Stage, StopRequest
from app.services.authentication import CACHE_SECONDS
from app.services.leases import claim_job, finish_job, keep_preview, record, release_job
from app.storage.published import StoredFile
from tests.integration.conftest import Service
from tests.integration.guarding import OPERATOR, OPERATOR_KEY, guard, key_of
from tests.integration.test_layouts import QUESTION, asked
from tests.unit.app.reports.planted import evaluation, manifest

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
PAGES = ("/", "/jobs", "/jobs/compare", "/datasets", "/queue", "/webhooks", "/jobs/new", "/keys", "/audit", "/tenants")


def get(http: TestClient, path: str) -> Response:
    return http.get(path, headers=BROWSER, follow_redirects=False)


def post(http: TestClient, path: str, **fields: str) -> Response:
    return http.post(path, headers=BROWSER, data=fields, follow_redirects=False)


def sign_in(http: TestClient, key: str) -> Response:
    return post(http, "/forms/sign-in", key=key)


def secret_of(headers: dict[str, str]) -> str:
    return headers["Authorization"].removeprefix("Bearer ")


def csrf_of(http: TestClient) -> str:
    found = re.search('name="csrf" content="([0-9a-f]+)"', get(http, "/").text + get(http, "/keys").text)
    assert found is not None
    return found[1]


def ended(service: Service) -> str:
    """A job that has succeeded, with curves, events, figures and files."""
    job_id = service.submit()
    with service.store.write() as session:
        claim = claim_job(session, job_id, "wk_1")
    assert claim is not None
    lines = [MetricLine(stage=Stage.DISTILL, step=step, values={"loss": 1 / step}) for step in (1, 2)]
    event = EventLine(level="warning", code="x", message="<script>alert(1)</script>")
    content = manifest().model_dump_json().encode()
    service.put_artifact(job_id, claim.epoch, "manifest.json", content)
    file = ArtifactFile(
        name="manifest.json",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        media_type="application/json",
    )
    with service.store.write() as session:
        record(session, claim, stage=Stage.DISTILL, points=lines, events=[event])
        assert finish_job(session, claim, [file], evaluation().model_dump(mode="json"), {})
    return job_id


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


class TestForms:
    def test_a_button_does_what_the_api_does(self, service: Service) -> None:
        job_id = service.submit()
        for action, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
            answer = post(service.http, f"/forms/jobs/{job_id}", action=action)
            assert (answer.status_code, answer.headers["Location"]) == (303, f"/jobs/{job_id}")
            assert service.http.get(f"/v1/jobs/{job_id}").json()["state"] == state
        again = post(service.http, f"/forms/jobs/{job_id}", action="retry").headers["Location"]
        assert again != f"/jobs/{job_id}"
        assert post(service.http, f"/forms/jobs/{job_id}", action="pause").status_code == 409
        assert post(service.http, f"/forms/jobs/{job_id}", action="explode").status_code == 422
        assert post(service.http, f"/forms/jobs/{job_id}", action="delete").headers["Location"] == "/jobs"

    def test_the_digits_become_a_data_set(self, service: Service) -> None:
        answer = post(service.http, "/forms/datasets/demo")
        assert answer.status_code == 303
        shown = service.http.get("/v1" + answer.headers["Location"]).json()
        assert (shown["name"], shown["state"]) == ("handwritten-digits.zip", "validating")

    def test_an_address_becomes_a_data_set_and_its_secrets_are_not_shown(self, service: Service) -> None:
        answer = post(service.http, "/forms/datasets/address", source_url=" https://a.example/pets.zip?token=s3cret ")
        assert answer.status_code == 303, answer.text
        shown = get(service.http, answer.headers["Location"]).text
        assert "being fetched" in shown and "https://a.example/pets.zip" in shown and "s3cret" not in shown

    @pytest.mark.parametrize("url", ["http://127.0.0.1/a.zip?s3cret", "https://a:s3cret@a.example/", "s3://a-b/s3cret"])
    def test_an_address_that_may_not_be_fetched_is_refused(self, service: Service, url: str) -> None:
        answer = post(service.http, "/forms/datasets/address", source_url=url)
        assert answer.status_code == 422 and "s3cret" not in answer.text

    def test_a_new_job_has_what_was_chosen_and_nothing_else(self, service: Service) -> None:
        dataset_id = service.ready_dataset()
        fields = {"dataset_id": dataset_id, "teacher": "resnet18.a1_in1k", "students": "resnet50", "method": "tdmr"}
        changed = {"distill.image_steps": "1000", "distill.temperature": "2.0", "max_latency_ms": "7.5"}
        answer = post(service.http, "/forms/jobs", **fields, **changed, balance="none", label="first")
        assert answer.status_code == 303, answer.text
        spec = service.http.get("/v1" + answer.headers["Location"]).json()["spec"]
        assert spec["student"] == "resnet50" and spec["distill"]["image_steps"] == 1000
        assert spec["constraints"]["max_latency_ms"] == 7.5 and spec["metadata"] == {"name": "first"}

    def test_a_new_job_may_have_several_teachers(self, service: Service) -> None:
        names = ["resnet18.a1_in1k", "vit_tiny_patch16_224.augreg_in21k"]
        fields = {"dataset_id": service.ready_dataset(), "teacher": names[0], "students": "resnet50"}
        answer = post(service.http, "/forms/jobs", **fields, more_teachers=f" {names[1]}, {names[0]} ")
        assert answer.status_code == 303, answer.text
        job = service.http.get("/v1" + answer.headers["Location"]).json()
        assert (job["spec"]["teacher"], job["spec"]["teachers"]) == (None, names)
        again = get(service.http, f"/jobs/new?like={job['id']}").text
        assert f'name="more_teachers" value="{names[1]}"' in again
        assert " + ".join(names) in get(service.http, answer.headers["Location"]).text.replace("<wbr>", "")

    def test_a_new_job_that_is_refused_is_shown_again(self, service: Service) -> None:
        fields = {"dataset_id": service.ready_dataset(), "teacher": "resnet18.a1_in1k", "students": "resnet51"}
        answer = post(service.http, "/forms/jobs", **fields)
        assert answer.status_code == 422 and "No worker offers" in answer.text and "Start training" in answer.text
        wrong = post(service.http, "/forms/jobs", **fields | {"distill.temperature": "warm"})
        assert wrong.status_code == 422 and "is no number" in wrong.text

    def test_a_key_is_shown_once(self, service: Service) -> None:
        answer = post(service.http, "/forms/keys", name="ci", scopes="read")
        assert re.search(r"tdmr_[\w-]{40,}", answer.text) and answer.headers["Cache-Control"] == "no-store"
        listed = get(service.http, "/keys").text
        assert "ci" in listed and not re.search(r"tdmr_[\w-]{40,}", listed)
        key_id = service.http.get("/v1/keys").json()["data"][0]["id"]
        assert post(service.http, f"/forms/keys/{key_id}/revoke").status_code == 303
        assert service.http.get("/v1/keys").json()["data"] == []

    def test_a_webhook_is_made_tried_and_deleted(self, service: Service) -> None:
        made = post(service.http, "/forms/webhooks", url="https://example.com/hook", event_types="job.*")
        secret = re.search(r"whsec_[\w+/=-]+", made.text)
        assert made.status_code == 200 and secret is not None and made.headers["Cache-Control"] == "no-store"
        [webhook] = service.http.get("/v1/webhooks").json()["data"]
        address, form = f"/webhooks/{webhook['id']}", f"/forms/webhooks/{webhook['id']}"
        assert secret[0] not in get(service.http, address).text
        assert post(service.http, form, action="test").headers["Location"] == address
        assert "webhook.test" in get(service.http, address).text
        [delivery] = service.http.get(f"/v1{address}/deliveries").json()["data"]
        assert post(service.http, form, action="redeliver", delivery_id=delivery["id"]).status_code == 303
        assert post(service.http, form, action="disable").status_code == 303
        assert "disabled" in get(service.http, "/webhooks").text
        assert post(service.http, form, action="explode").status_code == 422
        assert post(service.http, form, action="delete").headers["Location"] == "/webhooks"
        assert get(service.http, address).status_code == 404

    def test_quotas_of_a_tenant(self, service: Service) -> None:
        key_of(service, "acme")
        assert post(service.http, "/forms/tenants/acme/quotas", max_queued="7").status_code == 303
        assert 'value="7"' in get(service.http, "/tenants").text
        assert post(service.http, "/forms/tenants/nobody/quotas", max_queued="7").status_code == 422


class TestSessions:
    def test_without_one_every_page_leads_to_the_sign_in(self, service: Service) -> None:
        with guard(service) as http:
            for path in PAGES:
                answer = get(http, path)
                assert answer.status_code == 303 and answer.headers["Location"].startswith("/sign-in"), path
            assert get(http, "/sign-in").status_code == 200
            assert http.get("/v1/jobs").status_code == 401

    def test_a_key_opens_one_and_its_secret_is_stored_nowhere(self, service: Service) -> None:
        with guard(service) as http:
            answer = sign_in(http, OPERATOR_KEY)
            cookie = answer.headers["Set-Cookie"]
            assert answer.status_code == 303 and "HttpOnly" in cookie and "SameSite=strict" in cookie
            assert get(http, "/").status_code == 200 and http.get("/v1/jobs").status_code == 200
            with service.store.read() as session:
                [row] = session.scalars(select(WebSession))
                assert http.cookies[SESSION_COOKIE] not in repr(vars(row)) and OPERATOR_KEY not in repr(vars(row))
                [entry] = session.scalars(select(AuditEntry).where(AuditEntry.action == "sign_in"))
            assert (entry.actor, entry.object_id) == ("bootstrap", row.id)

    def test_a_wrong_key_opens_none(self, service: Service) -> None:
        with guard(service) as http:
            answer = sign_in(http, "tdmr_wrong")
            assert answer.status_code == 401 and "Set-Cookie" not in answer.headers
            assert "not valid" in answer.text

    @pytest.mark.parametrize("onward", ["//evil.example", "https://evil.example", "/\\evil.example", "jobs"])
    def test_leads_to_no_other_host(self, service: Service, onward: str) -> None:
        with guard(service) as http:
            assert post(http, "/forms/sign-in", key=OPERATOR_KEY, next=onward).headers["Location"] == "/"

    def test_ends_with_a_sign_out(self, service: Service) -> None:
        with guard(service) as http:
            sign_in(http, OPERATOR_KEY)
            secret = http.cookies[SESSION_COOKIE]
            assert post(http, "/forms/sign-out", csrf=csrf_of(http)).headers["Location"] == "/sign-in"
            http.cookies.set(SESSION_COOKIE, secret)
            assert get(http, "/").status_code == 303

    def test_ends_with_its_key(self, service: Service) -> None:
        header = key_of(service, "acme")
        with guard(service) as http:
            sign_in(http, secret_of(header))
            assert get(http, "/").status_code == 200
            key_id = http.get("/v1/keys").json()["data"][0]["id"]
            assert http.delete(f"/v1/keys/{key_id}?tenant=acme", headers=OPERATOR).status_code == 204
            deadline = time.monotonic() + CACHE_SECONDS + 60
            while get(http, "/").status_code == 200:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            assert http.get("/v1/jobs").status_code == 401

    @pytest.mark.parametrize("what", ["session", "key"])
    def test_ends_when_it_or_its_key_expires(self, service: Service, what: str) -> None:
        header = key_of(service, "acme")
        with guard(service) as http:
            sign_in(http, secret_of(header))
            past = utcnow() - timedelta(seconds=1)
            with service.store.write() as session:
                session.execute(update(WebSession if what == "session" else ApiKey).values(expires_at=past))
            assert get(http, "/").status_code == 303

    def test_of_the_first_key_ends_when_that_is_another(self, service: Service) -> None:
        with guard(service) as http:
            sign_in(http, OPERATOR_KEY)
            secret = http.cookies[SESSION_COOKIE]
        with guard(service, api_key=SecretStr("tdmr_another")) as http:
            http.cookies.set(SESSION_COOKIE, secret)
            assert get(http, "/").status_code == 303

    def test_changes_nothing_without_its_token(self, service: Service) -> None:
        job_id = service.submit()
        with guard(service) as http:
            sign_in(http, OPERATOR_KEY)
            token = csrf_of(http)
            for wrong in ({}, {"csrf": ""}, {"csrf": token[:-1] + ("0" if token[-1] != "0" else "1")}):
                assert post(http, f"/forms/jobs/{job_id}", action="cancel", **wrong).status_code == 403
            refused = http.post(f"/v1/jobs/{job_id}/cancel")
            assert (refused.status_code, refused.json()["code"]) == (403, "csrf_token_invalid")
            assert http.post("/forms/sign-out").status_code == 403
            assert http.get(f"/v1/jobs/{job_id}").json()["state"] == JobState.QUEUED
            assert http.post(f"/v1/jobs/{job_id}/pause", headers={"X-CSRF-Token": token}).status_code == 202
            assert post(http, f"/forms/jobs/{job_id}", action="cancel", csrf=token).status_code == 303

    def test_of_another_gives_no_token(self, service: Service) -> None:
        job_id = service.submit()
        with guard(service) as mine, guard(service) as theirs:
            sign_in(mine, OPERATOR_KEY), sign_in(theirs, OPERATOR_KEY)
            answer = post(theirs, f"/forms/jobs/{job_id}", action="cancel", csrf=csrf_of(mine))
            assert answer.status_code == 403

    def test_a_key_that_is_sent_needs_no_token(self, service: Service) -> None:
        job_id = service.submit()
        with guard(service) as http:
            sign_in(http, OPERATOR_KEY)
            assert http.post(f"/v1/jobs/{job_id}/cancel", headers=OPERATOR).status_code == 202


class TestScopes:
    def test_buttons_that_a_key_may_not_use_are_not_shown(self, service: Service) -> None:
        job_id, header = service.submit(), key_of(service, "default", Scope.READ)
        with guard(service) as http:
            sign_in(http, secret_of(header))
            text = get(http, f"/jobs/{job_id}").text
            assert 'value="cancel"' not in text and "/forms/jobs" not in text and ">New job<" not in text
            assert "/keys" not in text
            assert post(http, f"/forms/jobs/{job_id}", action="cancel", csrf=csrf_of(http)).status_code == 403
            assert [get(http, path).status_code for path in ("/keys", "/audit", "/tenants")] == [403] * 3

    def test_only_the_operator_sees_tenants(self, service: Service) -> None:
        header = key_of(service, "acme")
        with guard(service) as http:
            sign_in(http, secret_of(header))
            assert get(http, "/keys").status_code == 200 and get(http, "/tenants").status_code == 403
            assert get(http, "/keys?tenant=default").status_code == 403
            token = csrf_of(http)
            assert post(http, "/forms/tenants/acme/quotas", max_queued="9", csrf=token).status_code == 403
            assert post(http, "/forms/keys", name="x", scopes="read", tenant="default", csrf=token).status_code == 403


class TestTenants:
    def test_nobody_sees_anything_of_another(self, service: Service) -> None:
        job_id, dataset_id = ended(service), service.ready_dataset()
        header = key_of(service, "acme")
        with guard(service) as http:
            sign_in(http, secret_of(header))
            for path in ("/", "/jobs", "/datasets", "/queue", "/jobs/new", "/audit", "/keys"):
                text = get(http, path).text
                assert job_id not in text and dataset_id not in text and "digits.zip" not in text, path
            hidden = [
                f"/jobs/{job_id}",
                f"/jobs/{job_id}/cell?label=cat&predicted=dog",
                f"/jobs/new?like={job_id}",
                f"/datasets/{dataset_id}",
                f"/datasets/{dataset_id}/images",
                f"/pictures/{dataset_id}?path=x",
            ]
            assert {path: get(http, path).status_code for path in hidden} == dict.fromkeys(hidden, 404)
            token = csrf_of(http)
            assert post(http, f"/forms/jobs/{job_id}", action="delete", csrf=token).status_code == 404
            assert post(http, f"/forms/datasets/{dataset_id}", action="delete", csrf=token).status_code == 404
            assert post(http, f"/forms/datasets/{dataset_id}/labels.csv", csrf=token).status_code == 404
