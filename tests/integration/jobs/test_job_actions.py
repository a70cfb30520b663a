"""What a user may do to a job, in every state it can be in, over HTTP."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import delete, func, literal_column, select, text, update

from app.db.models import Artifact, IdempotencyKey, Job, JobEvent, JobMetric
from app.domain.states import JobState, StopRequest
from app.services import leases
from app.services.leases import JobClaim
from app.storage.keys import artifact_key, checkpoint_key
from tests.integration.conftest import Service
from tests.support import WAIT_SECONDS

NOBODY = "job_01JCZ7Q5W3N0R8V6T4X2Y1A9BC"


def claim(service: Service, job_id: str) -> JobClaim:
    with service.store.write() as session:
        made = leases.claim_job(session, job_id, "wk_1")
    assert made is not None
    return made


def post(service: Service, job_id: str, action: str) -> dict[str, Any]:
    answer = service.http.post(f"/v1/jobs/{job_id}/{action}")
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    return body


def running(service: Service) -> str:
    job_id = service.submit()
    claim(service, job_id)
    return job_id


def asked_to(action: str) -> Callable[[Service], str]:
    def make(service: Service) -> str:
        job_id = running(service)
        post(service, job_id, action)
        return job_id

    return make


def waiting_then(action: str) -> Callable[[Service], str]:
    def make(service: Service) -> str:
        job_id = service.submit()
        post(service, job_id, action)
        return job_id

    return make


def succeeded(service: Service) -> str:
    job_id = service.submit()
    with service.store.write() as session:
        made = leases.claim_job(session, job_id, "wk_1")
        assert made is not None
        assert leases.finish_job(session, made, [], None, {})
    return job_id


def failed(service: Service) -> str:
    job_id = service.submit()
    with service.store.write() as session:
        made = leases.claim_job(session, job_id, "wk_1")
        assert made is not None
        assert leases.fail_job(session, made, {"code": "non_finite_loss", "detail": "NaN at step 3"})
    return job_id


SITUATIONS: dict[str, Callable[[Service], str]] = {
    "queued": Service.submit,
    "running": running,
    "about to pause": asked_to("pause"),
    "about to be cancelled": asked_to("cancel"),
    "paused": waiting_then("pause"),
    "succeeded": succeeded,
    "failed": failed,
    "cancelled": waiting_then("cancel"),
}

# (state, what its worker is asked for) after the action; what is not listed is refused
AFTER: dict[str, dict[str, tuple[JobState, StopRequest | None]]] = {
    "cancel": {
        "queued": (JobState.CANCELLED, None),
        "running": (JobState.RUNNING, StopRequest.CANCEL),
        "about to pause": (JobState.RUNNING, StopRequest.CANCEL),
        "about to be cancelled": (JobState.RUNNING, StopRequest.CANCEL),
        "paused": (JobState.CANCELLED, None),
    },
    "pause": {
        "queued": (JobState.PAUSED, None),
        "running": (JobState.RUNNING, StopRequest.PAUSE),
        "about to pause": (JobState.RUNNING, StopRequest.PAUSE),
        "paused": (JobState.PAUSED, None),
    },
    "resume": {
        "about to pause": (JobState.RUNNING, None),
        "paused": (JobState.QUEUED, None),
    },
    "retry": {
        "failed": (JobState.QUEUED, None),
        "cancelled": (JobState.QUEUED, None),
    },
    "rerun": {
        "succeeded": (JobState.QUEUED, None),
        "failed": (JobState.QUEUED, None),
        "cancelled": (JobState.QUEUED, None),
    },
}


class TestEveryAction:
    @pytest.mark.parametrize("action", AFTER)
    def test_does_what_the_state_allows_and_changes_nothing_where_it_does_not(
        self, service: Service, action: str
    ) -> None:
        for situation, make in SITUATIONS.items():
            job_id = make(service)
            before = service.http.get(f"/v1/jobs/{job_id}").json()

            answer = service.http.post(f"/v1/jobs/{job_id}/{action}")

            body, now = answer.json(), service.http.get(f"/v1/jobs/{job_id}").json()
            if situation not in AFTER[action]:
                assert (answer.status_code, body["code"]) == (409, "state_conflict"), situation
                assert body["detail"] and answer.headers["Content-Type"] == "application/problem+json"
                moves = {"estimated_start": None}  # with the clock: a worker is free
                assert now | moves == before | moves, situation
                continue
            state, request = AFTER[action][situation]
            assert (answer.status_code, body["state"]) == (202, state), situation
            assert body["cancel_requested"] == (request is StopRequest.CANCEL), situation
            assert body["pause_requested"] == (request is StopRequest.PAUSE), situation
            assert answer.headers["Location"] == f"/v1/jobs/{body['id']}"
            assert (body["queue"] is None) == (state is not JobState.QUEUED), situation
            if action in {"retry", "rerun"}:
                assert (body[f"{action}_of"], now) == (job_id, before), situation
            else:
                assert (body["id"], now) == (job_id, body), situation

    @pytest.mark.parametrize("action", AFTER)
    def test_finds_no_job_that_is_not_the_callers(self, service: Service, action: str) -> None:
        foreign = service.submit()
        with service.store.write() as session:
            session.execute(update(Job).where(Job.id == foreign).values(tenant="someone else"))
        for job_id in (foreign, NOBODY, "job_0", "a%00"):
            answer = service.http.post(f"/v1/jobs/{job_id}/{action}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), job_id
            assert answer.json()["detail"] == "There is no such job."

    @pytest.mark.parametrize(("action", "code"), [("cancel", "cancel_requested"), ("pause", "pause_requested")])
    def test_asking_a_worker_twice_is_asking_once(self, service: Service, action: str, code: str) -> None:
        job_id = running(service)
        first, second = post(service, job_id, action), post(service, job_id, action)
        assert first == second
        codes = [event["code"] for event in service.http.get(f"/v1/jobs/{job_id}/events").json()["data"]]
        assert codes == ["submitted", "claimed", code]


class TestPause:
    def test_takes_a_job_out_of_the_queue_and_resume_gives_it_its_old_place(self, service: Service) -> None:
        first, second = service.submit(), service.submit()
        post(service, first, "pause")
        assert service.http.get(f"/v1/jobs/{second}").json()["queue"]["position"] == 1

        body = post(service, first, "resume")

        assert body["queue"] == {"position": 1, "reason": "waiting for a worker"}
        assert service.http.get(f"/v1/jobs/{second}").json()["queue"] == {"position": 2, "reason": "1 ahead"}

    def test_keeps_the_data_set_from_being_deleted(self, service: Service) -> None:
        job_id = service.submit()
        body = post(service, job_id, "pause")
        answer = service.http.delete(f"/v1/datasets/{body['dataset_id']}")
        assert (answer.status_code, answer.json()["code"]) == (409, "dataset_in_use")

    def test_of_a_job_that_was_faster_leaves_nothing_to_resume(self, service: Service) -> None:
        job_id = service.submit()
        held = claim(service, job_id)
        post(service, job_id, "pause")
        with service.store.write() as session:
            assert leases.finish_job(session, held, [], None, {})
        before = service.http.get(f"/v1/jobs/{job_id}").json()

        answer = service.http.post(f"/v1/jobs/{job_id}/resume")

        assert (answer.status_code, before["pause_requested"]) == (409, False)
        assert service.http.get(f"/v1/jobs/{job_id}").json() == before

    @pytest.mark.parametrize(
        ("then", "state"),
        [(None, JobState.PAUSED), ("cancel", JobState.CANCELLED), ("resume", JobState.QUEUED)],
    )
    def test_the_last_word_counts_when_the_worker_hands_the_job_back(
        self, service: Service, then: str | None, state: JobState
    ) -> None:
        job_id = service.submit()
        held = claim(service, job_id)
        post(service, job_id, "pause")
        if then is not None:
            post(service, job_id, then)
        with service.store.write() as session:
            assert leases.release_job(session, held, "pause_withdrawn")
        body = service.http.get(f"/v1/jobs/{job_id}").json()
        assert (body["state"], body["pause_requested"], body["cancel_requested"]) == (state, False, False)


class TestResume:
    def test_nudges_a_worker(self, service: Service) -> None:
        job_id = waiting_then("pause")(service)
        before = len(service.messages(1))
        post(service, job_id, "resume")
        assert len(service.messages(before + 1)) == before + 1


class TestRetry:
    def test_makes_a_new_job_of_the_same_spec(self, service: Service) -> None:
        job_id = service.submit(priority=3, metadata={"owner": "ann"}, seed=7)
        post(service, job_id, "cancel")
        before, old = len(service.messages(1)), service.http.get(f"/v1/jobs/{job_id}").json()

        body = post(service, job_id, "retry")

        assert body["id"] != job_id
        same = ("spec", "metadata", "dataset_id", "warnings")
        assert {name: body[name] for name in same} == {name: old[name] for name in same}
        assert (body["progress"], body["attempts"], body["error"]) == (0, 0, None)
        assert body["queue"] == {"position": 1, "reason": "waiting for a worker"}
        submitted, retried = service.http.get(f"/v1/jobs/{body['id']}/events").json()["data"]
        assert (submitted["code"], submitted["data"]["from"], submitted["data"]["to"]) == ("submitted", None, "queued")
        assert (retried["code"], retried["data"]) == ("retry", {"retry_of": job_id})
        assert len(service.messages(before + 1)) == before + 1

    def test_the_first_heir_has_the_checkpoint_and_the_old_job_stays_as_it_was(self, service: Service) -> None:
        job_id = service.submit()
        held = claim(service, job_id)
        with service.store.write() as session:
            assert leases.keep_checkpoint(session, held, "jobs/a/checkpoints/e1.tar")
            assert leases.fail_job(session, held, {"code": "out_of_memory", "detail": "No."})
        etag = service.http.get(f"/v1/jobs/{job_id}").headers["ETag"]

        heirs = [post(service, job_id, "retry")["id"] for _ in range(2)]

        with service.store.read() as session:
            keys = {job.id: job.checkpoint_key for job in session.scalars(select(Job))}
        assert keys == {job_id: None, heirs[0]: "jobs/a/checkpoints/e1.tar", heirs[1]: None}
        assert service.http.get(f"/v1/jobs/{job_id}").headers["ETag"] == etag

    def test_needs_the_data_set(self, service: Service) -> None:
        job_id = failed(service)
        dataset_id = service.http.get(f"/v1/jobs/{job_id}").json()["dataset_id"]
        assert service.http.delete(f"/v1/datasets/{dataset_id}").status_code == 204

        answer = service.http.post(f"/v1/jobs/{job_id}/retry")

        assert (answer.status_code, answer.json()["param"]) == (404, "dataset_id")

    def test_of_a_job_that_another_version_has_made_is_refused_in_words(self, service: Service) -> None:
        job_id = failed(service)
        with service.store.write() as session:
            session.execute(update(Job).where(Job.id == job_id).values(spec={"an_option_of_tomorrow": 1}))

        answer = service.http.post(f"/v1/jobs/{job_id}/retry")

        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_spec")
        assert "POST /v1/jobs" in answer.json()["hint"]
        shown = service.http.get(f"/v1/jobs/{job_id}")
        assert (shown.status_code, shown.json()["spec"]) == (200, {"an_option_of_tomorrow": 1})


class TestDelete:
    @pytest.mark.parametrize("situation", SITUATIONS)
    def test_takes_all_that_no_worker_has(self, service: Service, situation: str) -> None:
        job_id = SITUATIONS[situation](service)
        service.put_artifact(job_id, 1, "student.onnx", b"abc")
        answer = service.http.delete(f"/v1/jobs/{job_id}")
        found, is_stored = (
            service.http.get(f"/v1/jobs/{job_id}"),
            service.blobs.exists(artifact_key(job_id, 1, "student.onnx")),
        )
        if situation in {"running", "about to pause", "about to be cancelled"}:
            assert (answer.status_code, answer.json()["code"]) == (409, "state_conflict")
            assert (found.status_code, is_stored) == (200, True)
        else:
            assert answer.status_code == 204, answer.text
            # no worker had the others, so what lies there is not theirs
            assert (found.status_code, is_stored) == (404, situation not in {"succeeded", "failed"})
            assert service.http.delete(f"/v1/jobs/{job_id}").status_code == 404

    def test_leaves_no_row_and_frees_the_data_set(self, service: Service) -> None:
        spec = service.spec()
        key = {"Idempotency-Key": "once"}
        job_id = service.http.post("/v1/jobs", json=spec, headers=key).json()["id"]
        assert service.http.delete(f"/v1/jobs/{job_id}").status_code == 204
        with service.store.read() as session:
            for table in (JobEvent, JobMetric, Artifact, IdempotencyKey):
                assert not session.scalars(select(table).where(table.job_id == job_id)).all(), table
        assert service.http.post("/v1/jobs", json=spec, headers=key).json()["id"] != job_id
        other = service.submit()
        dataset = service.http.get(f"/v1/jobs/{other}").json()["dataset_id"]
        assert service.http.delete(f"/v1/jobs/{other}").status_code == 204
        assert service.http.delete(f"/v1/datasets/{dataset}").status_code == 204

    def test_keeps_the_checkpoint_that_a_retry_goes_on_from(self, service: Service) -> None:
        job_id = service.submit()
        held = claim(service, job_id)
        key = checkpoint_key(job_id, held.epoch)
        (service.tmp_path / "checkpoint").write_bytes(b"weights")
        service.blobs.put_file(key, service.tmp_path / "checkpoint")
        with service.store.write() as session:
            assert leases.keep_checkpoint(session, held, key)
            assert leases.fail_job(session, held, {"code": "non_finite_loss", "detail": "NaN at step 3"})
        heir = post(service, job_id, "retry")["id"]

        assert service.http.delete(f"/v1/jobs/{job_id}").status_code == 204
        assert service.blobs.exists(key)
        assert service.http.delete(f"/v1/jobs/{heir}").status_code == 204
        assert not service.blobs.exists(key)

    def test_finds_no_job_that_is_not_the_callers(self, service: Service) -> None:
        foreign = service.submit()
        with service.store.write() as session:
            session.execute(update(Job).where(Job.id == foreign).values(tenant="someone else"))
        for job_id in (foreign, NOBODY, "job_0"):
            assert service.http.delete(f"/v1/jobs/{job_id}").status_code == 404
        with service.store.read() as session:
            assert session.get(Job, foreign) is not None


class TestRaceWithDelete:
    # SQLite has one writer at a time: there the later one never saw the job
    @pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
    @pytest.mark.parametrize("action", ["cancel", "pause", "resume", "retry", "rerun", ""])
    def test_the_later_one_finds_no_job(self, service: Service, action: str) -> None:
        path, method = f"/v1/jobs/{service.submit()}", "POST" if action else "DELETE"
        with ThreadPoolExecutor(1) as other, service.store.write() as session:
            session.execute(delete(Job))
            waits = select(func.count()).where(literal_column("pg_backend_pid() = ANY(pg_blocking_pids(pid))"))
            later = other.submit(service.http.request, method, f"{path}/{action}".rstrip("/"))
            give_up = time.monotonic() + WAIT_SECONDS
            while not session.scalar(waits.select_from(text("pg_stat_activity"))):
                assert time.monotonic() < give_up
                session.execute(text("SELECT pg_stat_clear_snapshot()"))
                time.sleep(0.01)
            session.commit()
            answer = later.result()
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
