"""The short paths, `/`, and query parameters, on the whole service."""

import re

import pytest

from app.main import create_app
from app.settings import Settings
from tests.integration.conftest import Service
from tests.integration.guarding import OPERATOR, guard, key_of

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


class TestShortPaths:
    def test_create_and_follow_a_job(self, service: Service) -> None:
        made = service.http.post("/jobs", json=service.spec())
        assert (made.status_code, made.headers["Vary"]) == (202, "Accept")
        job_id = made.json()["id"]
        assert made.headers["Location"] == f"/v1/jobs/{job_id}"
        answer = service.http.get(f"/jobs/{job_id}")
        assert answer.json()["id"] == job_id and answer.headers["Vary"] == "Accept"
        page = service.http.get(f"/jobs/{job_id}", headers=BROWSER)
        assert page.headers["Content-Type"].startswith("text/html") and "Accept" in page.headers["Vary"]
        assert service.http.get("/datasets?limit=1").json()["object"] == "list"

    def test_upload_under_the_same_limits(self, service: Service) -> None:
        assert service.http.post("/datasets", files={"file": ("a.zip", b"abc")}).status_code == 202
        big = b"x" * (service.settings.max_upload_bytes + 2**17)
        assert service.http.post("/datasets", files={"file": ("a.zip", big)}).status_code == 413
        created = service.http.post("/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "3"})
        assert (created.status_code, created.headers["Tus-Resumable"]) == (201, "1.0.0")

    def test_are_guarded_counted_and_audited_alike(self, service: Service) -> None:
        with guard(service, rate_limit=5) as http:
            stranger = key_of(service, "stranger")
            assert http.get("/jobs").status_code == 401
            made = http.post("/jobs", headers=OPERATOR, json=service.spec()).json()
            assert http.get(f"/jobs/{made['id']}", headers=stranger).status_code == 404
            entry = http.get(f"/audit?object_id={made['id']}", headers=OPERATOR).json()["data"][0]
            assert entry["action"] == "create_job"
            statuses = [http.get("/v1/jobs" if n % 2 else "/jobs", headers=stranger).status_code for n in range(8)]
            assert statuses[:4] == [200] * 4 and statuses[-1] == 429
            counted = http.get("/metrics").text
        assert 'route="/v1/jobs/{job_id}"' in counted and 'route="/jobs' not in counted

    def test_refuse_pages_of_other_origins(self, service: Service) -> None:
        answer = service.http.post("/jobs", json={}, headers={"Origin": "http://evil.test"})
        assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")
        answer = service.http.get("/jobs", headers={"Host": "rebound.test"})
        assert (answer.status_code, answer.json()["code"]) == (403, "host_not_allowed")

    def test_exist_for_every_noun_and_stay_out_of_the_document(self, service: Service) -> None:
        paths = create_app(Settings()).openapi()["paths"]
        nouns = {path.split("/")[2] for path in paths if path.startswith("/v1/")}
        assert {"jobs", "datasets", "uploads", "teachers", "students", "keys", "audit"} <= nouns
        for noun in nouns:
            assert f"/{noun}" not in paths
            assert service.http.options(f"/{noun}").status_code != 404, noun


class TestHome:
    def test_is_a_page_for_a_person_with_links_that_lead_somewhere(self, service: Service) -> None:
        page = service.http.get("/", headers=BROWSER)
        assert page.headers["Content-Type"].startswith("text/html") and page.headers["Vary"].startswith("Accept")
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        for address in re.findall(r'href="(/[^"]*)"', page.text):
            assert service.http.get(address, headers=BROWSER).status_code == 200, address

    def test_points_a_program_to_the_document(self, service: Service) -> None:
        answer = service.http.get("/")
        assert service.http.get(answer.json()["openapi"]).json()["info"]["version"] == answer.json()["version"]
        assert 'rel="service-desc"' in answer.headers["Link"]
        assert service.http.head("/").status_code == 200


class TestUnknownParameters:
    @pytest.mark.parametrize(
        ("path", "param", "hint"),
        [
            ("/v1/jobs?stat=failed", "stat", "Did you mean 'state'?"),
            ("/jobs?limi=5&after=job_01JCZ7R2M4K6H8G0F1E3D5C7B9", "limi", "Did you mean 'limit'?"),
            ("/v1/students?max_parameters=5M", "max_parameters", "Did you mean 'max_params'?"),
            ("/v1/jobs?owner=ann", "owner", "Known parameters: after, limit, state, metadata[…]."),
            ("/v1/jobs?metadata=ann", "metadata", None),
            ("/v1/jobs/job_0?wate=30", "wate", "Did you mean 'wait'?"),
            ("/v1/datasets/ds_0/classes?zz", "zz", "Known parameters: after, limit."),
            ("/healthz?x=1", "x", "This route takes no query parameters."),
        ],
    )
    def test_are_refused_with_the_nearest_known_name(
        self, service: Service, path: str, param: str, hint: str | None
    ) -> None:
        answer = service.http.get(path)
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["param"]) == (422, "invalid_request", param)
        assert hint is None or problem["hint"] == hint

    def test_are_all_named(self, service: Service) -> None:
        problem = service.http.get("/v1/jobs?a=1&limit=1&b=2").json()
        assert [error["param"] for error in problem["errors"]] == ["a", "b"]
        assert "and 1 more" in problem["detail"]

    def test_are_refused_before_a_body_is_read(self, service: Service) -> None:
        answer = service.http.post("/v1/datasets?nam=x", files={"file": ("a.zip", b"abc")})
        assert (answer.status_code, answer.json()["hint"]) == (422, "Did you mean 'name'?")
        assert service.http.get("/v1/datasets").json()["data"] == []

    def test_tell_nothing_without_a_key(self, service: Service) -> None:
        with guard(service) as http:
            assert http.get("/v1/jobs?x=1").status_code == 401

    def test_metadata_in_brackets_is_known(self, service: Service) -> None:
        job_id = service.submit(metadata={"owner": "ann"})
        found = service.http.get("/v1/jobs?metadata[owner]=ann&metadata[run]=7").json()["data"]
        assert found == []
        assert [job["id"] for job in service.http.get("/v1/jobs?metadata%5Bowner%5D=ann").json()["data"]] == [job_id]
