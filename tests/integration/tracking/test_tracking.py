"""Where else a job is logged: what is asked, owed, shown and forgotten, on either database; no server is reached."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from app.db.models import Job, Tracking
from app.domain.tracking import TrackingOutcome
from app.domain.webhooks import MOST_ATTEMPTS, RETRY_SECONDS
from app.services import tracking_claims
from app.services.leases import fail_job
from app.services.tracking_claims import CLAIM
from tests.integration.conftest import Service
from tests.integration.jobs.test_live import claimed
from tests.integration.tracking.tracking_post import Post, served_with, succeed

NO_ERROR = TrackingOutcome(url="http://mlflow/run", error=None)
FAILED = TrackingOutcome(url=None, error="It does not answer.")


@pytest.fixture
def post(service: Service) -> Iterator[Post]:
    with served_with(service, mlflow_uri=SecretStr("http://127.0.0.1:1")) as tracked:
        yield Post(tracked, "flowers")


class TestAsked:
    def test_without_a_server_is_refused_with_what_to_do(self, service: Service) -> None:
        spec = service.spec(track={"mlflow": {}})
        for path in ("/v1/jobs", "/v1/jobs/estimate"):
            answer = service.http.post(path, json=spec)
            told = answer.json()
            assert (answer.status_code, told["code"]) == (422, "tracking_not_configured")
            assert told["param"] == "track.mlflow" and "TDMR_MLFLOW_URI" in told["hint"]
        assert service.http.get("/v1/jobs").json()["data"] == []
        assert service.http.get(f"/v1/jobs/{service.submit()}").json()["tracking"] is None

    @pytest.mark.parametrize(
        ("track", "param"),
        [
            ({}, "track.mlflow"),
            ({"mlflow": None}, "track.mlflow"),
            ({"wandb": {}, "mlflow": {}}, "track.wandb"),
            ({"mlflow": {"uri": "http://elsewhere"}}, "track.mlflow.uri"),
            ({"mlflow": {"experiment": ""}}, "track.mlflow.experiment"),
            ({"mlflow": {"experiment": "a\nb"}}, "track.mlflow.experiment"),
            ({"mlflow": {"experiment": "a" * 251}}, "track.mlflow.experiment"),
        ],
    )
    def test_refuses_what_is_invalid(self, post: Post, track: object, param: str) -> None:
        told = post.service.http.post("/v1/jobs", json=post.service.spec(track=track)).json()
        assert (told["code"], told["param"]) == ("invalid_request", param)

    def test_is_no_part_of_what_is_trained(self, post: Post) -> None:
        plain = post.service.http.get(f"/v1/jobs/{post.service.submit()}").json()
        with post.service.store.read() as session:
            stored = session.get_one(Job, post.submit()).spec
        assert stored.keys() == plain["spec"].keys()
        tracked = post.service.http.get(f"/v1/jobs/{post.service.submit(track={'mlflow': {}})}").json()
        assert tracked["tracking"]["mlflow"] == {"state": "pending", "experiment": "tdmr", "url": None, "error": None}
        assert "track" not in tracked["spec"]

    def test_retry_and_rerun_keep_it(self, post: Post) -> None:
        job_id = post.submit()
        post.service.http.post(f"/v1/jobs/{job_id}/cancel")
        for action in ("retry", "rerun"):
            again = post.service.http.post(f"/v1/jobs/{job_id}/{action}").json()
            assert again["tracking"]["mlflow"]["experiment"] == post.experiment
            assert again["tracking"]["mlflow"]["state"] == "pending"

    def test_is_part_of_what_an_idempotency_key_stands_for(self, post: Post) -> None:
        spec, headers = post.service.spec(), {"Idempotency-Key": "a"}
        tracked = spec | {"track": {"mlflow": {"experiment": "a"}}}
        first, again = (post.service.http.post("/v1/jobs", json=tracked, headers=headers).json() for _ in range(2))
        assert first["id"] == again["id"]
        for other in (spec, spec | {"track": {"mlflow": {"experiment": "b"}}}):
            answer = post.service.http.post("/v1/jobs", json=other, headers=headers)
            assert answer.json()["code"] == "idempotency_key_reused"


class TestOwed:
    def test_one_that_never_started_is_not(self, post: Post) -> None:
        job_id = post.submit()
        assert post.service.http.post(f"/v1/jobs/{job_id}/cancel").json()["tracking"]["mlflow"]["state"] == "skipped"
        assert post.log_due() == 0

    def test_one_that_was_not_asked_for_is_not(self, post: Post) -> None:
        succeed(post.service, claimed(post.service.store, post.service.submit()), {})
        assert post.log_due() == 0

    def test_is_written_with_the_end_of_the_job_or_not_at_all(self, post: Post) -> None:
        job_id, claim = post.started()
        with pytest.raises(RuntimeError), post.service.store.write() as session:
            assert fail_job(session, claim, {"code": "training_failed", "detail": "It diverged."})
            assert session.get(Tracking, (job_id, "mlflow")) is not None
            raise RuntimeError
        assert post.service.http.get(f"/v1/jobs/{job_id}").json()["state"] == "running"
        assert post.log_due() == 0

    def test_a_late_word_changes_nothing(self, post: Post) -> None:
        job_id = post.ended("failed")
        lost = post.claim()
        post.clock.move(seconds=CLAIM.total_seconds())
        post.record(post.claim(), NO_ERROR)
        post.record(lost, FAILED)
        row = post.row(job_id)
        assert (row.state, row.attempts, row.error, row.url) == ("succeeded", 1, None, NO_ERROR.url)
        with post.service.store.write() as session:
            assert not tracking_claims.put_off(session, lost, post.clock.now)

    def test_is_given_up_after_the_last_attempt(self, post: Post) -> None:
        job_id = post.ended("failed")
        for attempt in range(MOST_ATTEMPTS):
            assert post.shown(job_id)["state"] == "pending"
            post.record(post.claim(), FAILED)
            if attempt < len(RETRY_SECONDS):
                post.clock.move(seconds=RETRY_SECONDS[attempt])
        assert post.shown(job_id) == {
            "state": "failed",
            "experiment": post.experiment,
            "url": None,
            "error": FAILED.error,
        }
        page = post.service.http.get(f"/jobs/{job_id}", headers={"Accept": "text/html"}).text
        assert "not logged. It does not answer." in page
        post.clock.move(days=30)
        assert post.log_due() == 0


class TestDeleted:
    def test_takes_what_is_owed_with_it(self, post: Post) -> None:
        job_id = post.ended()
        attempt = post.claim()
        assert post.service.http.delete(f"/v1/jobs/{job_id}").status_code == 204
        post.record(attempt, NO_ERROR)
        with post.service.store.read() as session:
            assert session.scalars(select(Tracking)).all() == []
            assert tracking_claims.read_job(session, attempt, None) is None
        post.clock.move(days=1)
        assert post.log_due() == 0
