"""How often one may ask."""

import pytest

from tests.integration.conftest import Service
from tests.integration.guarding import OPERATOR, guard, key_of

DEAD_REDIS = "redis://127.0.0.1:1/0"
LIMIT = 3


class TestRateLimit:
    def test_bad_input_row19_tells_what_is_left_and_ends_with_429(self, service: Service) -> None:
        with guard(service, rate_limit=LIMIT) as http:
            answers = [http.get("/v1/jobs", headers=OPERATOR) for _ in range(LIMIT + 1)]
            assert [answer.status_code for answer in answers] == [200] * LIMIT + [429]
            for left, answer in zip([2, 1, 0, 0], answers, strict=True):
                assert answer.headers["RateLimit-Policy"] == '"default";q=3;w=60'
                assert answer.headers["RateLimit"].startswith(f'"default";r={left};t=')
            refused = answers[-1]
            assert refused.json()["code"] == "rate_limited"
            assert "Retry-After" in refused.json()["hint"]
            assert 1 <= int(refused.headers["Retry-After"]) <= 60

    def test_is_each_keys_own(self, service: Service) -> None:
        ann, bob = key_of(service, "default"), key_of(service, "default")
        with guard(service, rate_limit=1) as http:
            assert [http.get("/v1/jobs", headers=key).status_code for key in (ann, ann, bob)] == [200, 429, 200]

    def test_of_wrong_keys_is_their_addresss(self, service: Service) -> None:
        with guard(service, rate_limit=LIMIT) as http:
            wrong = [http.get("/v1/jobs", headers={"Authorization": f"Bearer tdmr_{n}"}) for n in range(LIMIT + 1)]
            assert [answer.status_code for answer in wrong] == [401] * LIMIT + [429]
            assert http.get("/v1/jobs", headers=OPERATOR).status_code == 200

    def test_leaves_health_alone(self, service: Service) -> None:
        with guard(service, rate_limit=1) as http:
            assert {http.get("/healthz").status_code for _ in range(3)} == {200}

    def test_is_off_where_no_key_is_asked_for(self, service: Service) -> None:
        assert "RateLimit" not in service.http.get("/v1/jobs").headers

    def test_is_shared_by_processes_in_redis(self, service: Service, redis_url: str) -> None:
        changes = {"rate_limit": LIMIT, "broker_url": redis_url}
        with guard(service, **changes) as one, guard(service, **changes) as other:
            answers = [http.get("/v1/jobs", headers=OPERATOR) for http in (one, other, one, other)]
        assert [answer.status_code for answer in answers] == [200] * LIMIT + [429]

    def test_lets_everyone_through_while_redis_is_away(
        self, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        with guard(service, rate_limit=1, broker_url=DEAD_REDIS) as http:
            assert {http.get("/v1/jobs", headers=OPERATOR).status_code for _ in range(3)} == {200}
        assert any("requests are not counted" in message for message in caplog.messages)
