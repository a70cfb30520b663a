"""What of a browser's requests is believed, and what every answer tells it."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app.api.browsers import ANSWER_HEADERS, AnswerHeaders, OwnPagesOnly
from app.settings import Settings

SITE, ORIGIN = "Sec-Fetch-Site", "Origin"


def client(settings: Settings, host: str = "127.0.0.1:8000") -> TestClient:
    route = Route(
        "/", lambda _: PlainTextResponse("done", headers={"Referrer-Policy": "origin"}), methods=["GET", "POST"]
    )
    app = Starlette(routes=[route])
    app.add_middleware(OwnPagesOnly, hosts=settings.hosts, trusted_pages=settings.named_hosts)
    app.add_middleware(AnswerHeaders)
    return TestClient(app, base_url=f"http://{host}")


class TestHost:
    @pytest.mark.parametrize(
        "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:8000", "[::1]:8000", "named.example:443"]
    )
    def test_that_is_ours_is_answered(self, host: str) -> None:
        answer = client(Settings(allowed_hosts=" Named.example, other.example")).get("/", headers={"Host": host})
        assert answer.status_code == 200

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost@evil.example", "::1", "", "["],
    )
    @pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
    def test_that_is_not_is_refused_where_no_key_is_needed(self, host: str, method: str) -> None:
        answer = client(Settings()).request(method, "/", headers={"Host": host})
        assert (answer.status_code, answer.json()["code"], answer.json()["param"]) == (403, "host_not_allowed", "Host")
        assert "TDMR_ALLOWED_HOSTS" in answer.json()["hint"]

    def test_may_be_any_where_a_key_is_needed_unless_some_are_named(self) -> None:
        keyed = {"host": "0.0.0.0", "api_key": "tdmr_a"}
        for changes, statuses in (({}, (200, 200)), ({"allowed_hosts": "named.example"}, (403, 200))):
            http = client(Settings.model_validate(keyed | changes))
            asked = [http.get("/", headers={"Host": host}).status_code for host in ("evil.example", "named.example")]
            assert tuple(asked) == statuses


class TestOrigin:
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {SITE: "same-origin", ORIGIN: "https://behind.a.proxy"},
            {SITE: "none"},
            {ORIGIN: "http://127.0.0.1:8000"},
            {SITE: "cross-site", ORIGIN: "https://named.example"},
        ],
        ids=["a program", "its own page", "the user", "its own page, without Sec-Fetch-Site", "a named page"],
    )
    def test_that_is_ours_may_change_something(self, headers: dict[str, str]) -> None:
        assert client(Settings(allowed_hosts="named.example")).post("/", headers=headers).status_code == 200

    @pytest.mark.parametrize("key", [{}, {"api_key": "tdmr_a"}], ids=["no key", "key"])
    @pytest.mark.parametrize(
        "headers",
        [
            {SITE: "cross-site", ORIGIN: "https://evil.example"},
            {SITE: "same-site", ORIGIN: "http://localhost:3000"},
            {SITE: "cross-site", ORIGIN: "http://127.0.0.1:8000"},
            {SITE: "cross-site"},
            {ORIGIN: "https://evil.example"},
            {ORIGIN: "http://127.0.0.1:3000"},
            {ORIGIN: "null"},
        ],
        ids=["another site", "another port", "contradiction", "no origin", "old browser", "its other port", "sandbox"],
    )
    def test_that_is_not_may_change_nothing(self, headers: dict[str, str], key: dict[str, str]) -> None:
        http = client(Settings.model_validate(key))
        answer = http.post("/", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")
        assert http.get("/", headers=headers).status_code == 200


def test_every_answer_tells_the_browser_what_it_may_do() -> None:
    http = client(Settings())
    for answer in (http.post("/", headers={ORIGIN: "null"}), http.get("/nothing")):
        assert (
            ANSWER_HEADERS.items()
            <= dict(answer.headers.items() | {(n, answer.headers[n]) for n in ANSWER_HEADERS}).items()
        )
    assert http.get("/").headers["Referrer-Policy"] == "origin"  # one that a route sets stays
