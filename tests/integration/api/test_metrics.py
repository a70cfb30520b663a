"""What Prometheus reads, on either database."""

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from app.domain.progress import MetricLine
from app.domain.states import Stage
from app.main import create_app
from app.services.leases import JOBS, JobClaim, claim_job, fail_job, finish_job, record
from app.settings import Settings
from tests.integration.api.test_api_surface import DEAD_POSTGRES
from tests.integration.conftest import Service
from tests.support import client_of

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(http: TestClient) -> Samples:
    answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def claimed(service: Service) -> JobClaim:
    job_id = service.submit()
    with service.store.write() as session:
        claim = claim_job(session, job_id, "wk_1")
    assert claim is not None
    return claim


class TestMetrics:
    def test_begin_at_zero_with_every_series_there(self, service: Service) -> None:
        samples = scrape(service.http)
        for state in ("queued", "running", "paused", "succeeded", "failed", "cancelled"):
            assert value(samples, "tdmr_jobs", state=state) == 0
        for state in ("validating", "ready", "rejected"):
            assert value(samples, "tdmr_datasets", state=state) == 0
        for name in ("tdmr_queue_age_seconds", "tdmr_heartbeats_late", "tdmr_images_per_second", "tdmr_attempts_total"):
            assert value(samples, name) == 0
        assert value(samples, "tdmr_jobs_finished_total", state="succeeded") == 0

    def test_tell_how_many_jobs_and_data_sets_are_where(self, service: Service) -> None:
        service.validating_dataset()
        succeeds, fails, _ = claimed(service), claimed(service), claimed(service)
        with service.store.write() as session:
            seconds = {"decode": 1.5, "distill": 20.0, f"distill/{'long' * 30}": 20.0}
            finish_job(session, succeeds, [], None, {}, seconds)
            fail_job(session, fails, {"code": "x"})
        service.http.post(f"/v1/jobs/{service.submit()}/cancel")
        service.submit()
        samples = scrape(service.http)
        jobs = {state: value(samples, "tdmr_jobs", state=state) for state in ("queued", "running", "cancelled")}
        assert jobs == {"queued": 1, "running": 1, "cancelled": 1}
        for state in ("succeeded", "failed"):
            assert value(samples, "tdmr_jobs", state=state) == 1
            assert value(samples, "tdmr_jobs_finished_total", state=state) == 1
        assert value(samples, "tdmr_attempts_total") == 3
        spent = {
            dict(labels)["stage"]: n for (name, labels), n in samples.items() if name == "tdmr_stage_seconds_total"
        }
        assert spent == {"decode": 1.5, "distill": 20.0}
        assert value(samples, "tdmr_datasets", state="validating") == 1
        assert value(samples, "tdmr_datasets", state="ready") == 5
        assert value(samples, "tdmr_queue_age_seconds") > 0

    def test_add_up_the_speed_of_those_that_train(self, service: Service) -> None:
        for stage, speed in ((Stage.DISTILL, 100.0), (Stage.DISTILL, 50.5), (Stage.EXPORT, 7.0)):
            point = MetricLine(stage=stage, step=1, values={"images_per_second": speed})
            with service.store.write() as session:
                record(session, claimed(service), stage=stage, points=[point])
        assert value(scrape(service.http), "tdmr_images_per_second") == 150.5

    def test_count_a_job_as_late_once_its_heartbeats_stand_still(self, service: Service) -> None:
        settings = service.settings.model_copy(update={"heartbeat_seconds": 0.05})
        claim = claimed(service)
        with client_of(settings) as http:
            assert value(scrape(http), "tdmr_heartbeats_late") == 0  # just seen for the first time
            while value(scrape(http), "tdmr_heartbeats_late") == 0:  # pytest's own time limit ends it
                pass
            with service.store.write() as session:
                assert JOBS.beat(session, claim).alive
            assert value(scrape(http), "tdmr_heartbeats_late") == 0

    def test_time_requests_by_template_and_not_by_what_clients_make_up(self, service: Service) -> None:
        service.http.get(f"/v1/jobs/{service.submit()}")
        service.http.get("/v1/jobs/unknown")
        service.http.request("BREW", "/v1/jobs/unknown")
        service.http.get("/made/up")
        samples = scrape(service.http)
        counted = {
            labels - {("le", "")}: count
            for (name, labels), count in samples.items()
            if name == "tdmr_http_request_seconds_count"
        }

        def count(route: str, method: str, status: str) -> float | None:
            return counted.get(frozenset({("route", route), ("method", method), ("status", status)}))

        assert count("/v1/jobs", "POST", "202") == 1
        assert count("/v1/jobs/{job_id}", "GET", "200") == 1
        assert count("/v1/jobs/{job_id}", "GET", "404") == 1
        assert count("/v1/jobs/{job_id}", "other", "405") == 1
        assert count("none", "GET", "404") == 1

    def test_need_no_key(self, service: Service) -> None:
        guarded = service.settings.model_copy(update={"api_key": SecretStr("tdmr_secret")})
        with client_of(guarded) as http:
            assert http.get("/v1/jobs").status_code == 401
            assert value(scrape(http), "tdmr_jobs", state="queued") == 0

    def test_say_so_when_the_database_is_away(self, settings: Settings) -> None:
        with client_of(settings.model_copy(update={"database_url": DEAD_POSTGRES})) as http:
            answer = http.get("/metrics")
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("status", ["200", "503"])
def test_are_in_the_document(status: str) -> None:
    operation = create_app(Settings()).openapi()["paths"]["/metrics"]["get"]
    (media_type,) = operation["responses"][status]["content"]
    assert media_type == {"200": "text/plain", "503": "application/problem+json"}[status]
