"""What holds for every route: problems, ids, keys, health, and the OpenAPI document."""

import json
import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.db.models import Worker, utcnow
from app.main import create_app
from app.services import catalog
from app.settings import Settings
from tests.integration.conftest import Service
from tests.support import client_of

DEAD_POSTGRES = "postgresql+psycopg://postgres@127.0.0.1:1/nowhere"
DEAD_REDIS = "redis://127.0.0.1:1/0"


def serve(settings: Settings, **changes: object) -> TestClient:
    return client_of(settings.model_copy(update=changes))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(create_app(Settings()).openapi()))
    return document


class TestProblems:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/nothing", 404),
            ("GET", "/v1/jobs/", 404),
            ("PUT", "/v1/jobs", 405),
            ("GET", "/v1/jobs/job_1", 404),
            ("GET", "/v1/jobs?limit=0", 422),
            ("POST", "/v1/datasets", 415),
        ],
    )
    def test_have_one_shape(self, service: Service, method: str, path: str, status: int) -> None:
        answer = service.http.request(method, path)
        body = answer.json()
        assert answer.status_code == body["status"] == status
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert body["request_id"] == answer.headers["X-Request-ID"]
        assert body["type"] == f"urn:tdmr:problem:{body['code']}"
        assert {"title", "detail", "instance"} <= body.keys()

    def test_405_says_what_is_allowed(self, service: Service) -> None:
        assert "GET" in service.http.put("/healthz").headers["Allow"]

    @pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"x"', b"{}"])
    def test_json_that_is_no_spec_is_wrong(self, service: Service, body: bytes) -> None:
        answer = service.http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")

    @pytest.mark.parametrize("chunked", [False, True])
    def test_a_spec_of_megabytes_is_too_large(self, service: Service, chunked: bool) -> None:
        body = b'{"a": "' + b"x" * 2**20 + b'"}'
        content = iter([body[:1000], body[1000:]]) if chunked else body
        answer = service.http.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

    def test_a_content_length_that_is_no_number_is_malformed(self, service: Service) -> None:
        answer = service.http.post("/v1/jobs", content=b"", headers={"Content-Length": "-1"})
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")

    def test_our_own_mistake_tells_nothing_but_its_id(
        self, settings: Settings, postgres_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        # a database that was never migrated
        with serve(settings, database_url=postgres_url) as http:
            answer = http.get("/v1/jobs")
        body = answer.json()
        assert (answer.status_code, body["code"]) == (500, "internal_error")
        assert body["request_id"] == answer.headers["X-Request-ID"]
        assert "jobs" not in body["detail"] and "Traceback" not in answer.text
        assert any(record.exc_info for record in caplog.records if record.levelno == logging.ERROR)

    def test_a_database_that_is_away_is_a_503(self, settings: Settings) -> None:
        with serve(settings, database_url=DEAD_POSTGRES) as http:
            answer = http.get("/v1/jobs")
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert answer.headers["Retry-After"] == "5"
        assert "127.0.0.1" not in answer.text


class TestBrokerAway:
    def test_a_job_is_accepted_all_the_same(self, service: Service, caplog: pytest.LogCaptureFixture) -> None:
        settings = service.settings.model_copy(update={"broker_url": DEAD_REDIS})
        with serve(settings) as http:
            answer = http.post("/v1/jobs", json=service.spec())
            assert answer.status_code == 202
            assert http.get(answer.headers["Location"]).json()["state"] == "queued"
        assert "the broker is away; not sent" in caplog.messages


class TestKey:
    @pytest.fixture
    def guarded(self, service: Service) -> Iterator[TestClient]:
        settings = Settings(
            home=service.settings.home, database_url=service.settings.database_url, api_key="tdmr_secret"
        )
        with serve(settings) as http:
            yield http

    def test_is_not_needed_to_see_whether_it_lives(self, guarded: TestClient) -> None:
        assert guarded.get("/healthz").status_code == guarded.get("/readyz").status_code == 200

    def test_is_needed_beyond_loopback(self, settings: Settings) -> None:
        with pytest.raises(ValueError, match="TDMR_API_KEY"):
            create_app(settings.model_copy(update={"host": "0.0.0.0"}))


class TestHealth:
    def test_names_everything_it_stands_on(self, service: Service) -> None:
        assert service.http.get("/healthz").json()["status"] == "ok"
        answer = service.http.get("/readyz").json()
        assert (answer["status"], answer["checks"]) == ("ok", {"database": "ok", "broker": "ok", "storage": "ok"})

    def test_counts_the_workers_that_give_signs_of_life(self, service: Service) -> None:
        with service.store.write() as session:
            for host in ("here", "there"):
                catalog.register(session, host, "datasets", "cpu", None)
            silent = catalog.register(session, "gone", "datasets", "cpu", None)
            session.get_one(Worker, silent).seen_at = utcnow() - timedelta(minutes=5)
        alive = service.http.get("/readyz").json()["workers"]

        assert alive["datasets"] == 2

    @pytest.mark.parametrize(
        ("away", "change"),
        [
            ("database", {"database_url": DEAD_POSTGRES}),
            ("broker", {"broker_url": DEAD_REDIS}),
            ("storage", {"storage_url": "file:///proc/nowhere"}),
        ],
    )
    def test_names_what_is_away(self, service: Service, away: str, change: dict[str, str]) -> None:
        with serve(service.settings, **change) as http:
            assert http.get("/healthz").status_code == 200
            answer = http.get("/readyz")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert answer.headers["Content-Type"] == "application/problem+json"
        states = {item["param"]: item["detail"] for item in answer.json()["errors"]}
        assert states == {"database": "ok", "broker": "ok", "storage": "ok"} | {away: "away"}


class TestDocument:
    def operations(self, document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                yield method, path, operation

    def test_every_operation_is_named_and_filed(self, document: dict[str, Any]) -> None:
        tags = {tag["name"] for tag in document["tags"]}
        names = [operation["operationId"] for _, _, operation in self.operations(document)]
        assert len(names) == len(set(names)) > 0
        for _, _, operation in self.operations(document):
            assert operation["summary"] and operation["description"]
            assert len(operation["tags"]) == 1 and set(operation["tags"]) <= tags

    def test_every_problem_is_documented_as_it_is_sent(self, document: dict[str, Any]) -> None:
        for method, path, operation in self.operations(document):
            responses = operation["responses"]
            expected = {"500"} | ({"401", "503"} if path.startswith("/v1/") else set())
            expected |= {"404"} if "{" in path else set()
            expected |= {"422"} if "requestBody" in operation else set()
            assert expected <= responses.keys(), (method, path)
            for status, response in responses.items():
                assert "X-Request-ID" in response["headers"], (method, path, status)
                if int(status) >= 400:
                    (media_type,) = response["content"]
                    content = response["content"][media_type]
                    assert media_type == "application/problem+json"
                    assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
                    assert content["examples"]
                    for code, example in content["examples"].items():
                        assert example["value"]["status"] == int(status)
                        assert example["value"]["code"] == code

    def test_every_reference_leads_somewhere(self, document: dict[str, Any]) -> None:
        def references(node: object) -> Iterator[str]:
            if isinstance(node, dict):
                for key, value in node.items():
                    if key == "$ref":
                        yield value
                    else:
                        yield from references(value)
            elif isinstance(node, list):
                for value in node:
                    yield from references(value)

        found = set(references(document))
        assert "#/components/schemas/Problem" in found
        for reference in found:
            assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]

    def test_every_option_of_a_job_is_there(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        assert {"teacher", "student", "distill", "metadata"} <= schemas["JobCreate"]["properties"].keys()
        assert schemas["DistillConfig"]["properties"]["temperature"]["default"] == 2.0

    def test_is_served_with_its_reader(self, service: Service) -> None:
        assert service.http.get("/openapi.json").json()["info"]["title"] == "tdmr"
        page = service.http.get("/docs")
        assert page.status_code == 200
        assert "unsafe" not in page.headers["Content-Security-Policy"] and "://" not in page.text
        for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            assert service.http.get(f"/{address}").status_code == 200, address
