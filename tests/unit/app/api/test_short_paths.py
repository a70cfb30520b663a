"""The paths without `/v1`, in front of a small application."""

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from app.api.short_paths import ShortPaths, prefers_html

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture
def http() -> TestClient:
    app = FastAPI()
    app.add_middleware(ShortPaths, nouns=frozenset({"jobs"}))

    @app.api_route("/v1/jobs", methods=["GET", "POST"])
    @app.get("/v1/jobs/{job_id}/files/{name:path}")
    @app.get("/v1jobs")
    def answer(request: Request) -> dict[str, str]:
        return {"path": request.url.path, "query": request.url.query}

    @app.get("/jobs")
    def page() -> str:
        return "a page"

    return TestClient(app)


class TestShortPaths:
    def test_lead_to_the_same_route(self, http: TestClient) -> None:
        answer = http.get("/jobs/job_1/files/a%2Fb?x=1")
        assert answer.json() == {"path": "/v1/jobs/job_1/files/a/b", "query": "x=1"}
        assert answer.headers["Vary"] == "Accept"

    @pytest.mark.parametrize("path", ["/job", "/jobsx", "/other/jobs", "/"])
    def test_are_those_of_nouns(self, http: TestClient, path: str) -> None:
        answer = http.get(path)
        assert answer.status_code == 404 and "Vary" not in answer.headers

    def test_leave_the_long_ones_alone(self, http: TestClient) -> None:
        assert http.get("/v1/jobs").json()["path"] == "/v1/jobs"
        assert "Vary" not in http.get("/v1/jobs").headers

    def test_give_a_browser_the_page_where_there_is_one(self, http: TestClient) -> None:
        answer = http.get("/jobs", headers={"Accept": BROWSER})
        assert answer.json() == "a page" and answer.headers["Vary"] == "Accept"
        assert http.get("/jobs/job_1/files/a", headers={"Accept": BROWSER}).json()["path"] == "/v1/jobs/job_1/files/a"

    @pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
    def test_give_everything_else_the_api(self, http: TestClient, accept: str) -> None:
        assert http.get("/jobs", headers={"Accept": accept}).json()["path"] == "/v1/jobs"

    def test_send_no_page_for_a_change(self, http: TestClient) -> None:
        assert http.post("/jobs", headers={"Accept": BROWSER}).json()["path"] == "/v1/jobs"


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER, True),
        ("TEXT/HTML", True),
        ("text/html;q=0.5, application/json", False),
        ("application/json;q=0.5, text/html;q=0.9", True),
        ("text/html;q=0", False),
        ("text/html;q=x", False),
        ("*/*", False),
        ("text/event-stream", False),
        ("", False),
    ],
)
def test_html_is_for_those_who_ask_for_it(accept: str, html: bool) -> None:
    assert prefers_html(accept) is html
