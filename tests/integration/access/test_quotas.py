"""How many jobs a tenant may have waiting and running. The quota of bytes is row 16 of the bad inputs."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from app.db.models import Job
from app.db.queries import queue
from app.domain.access import Caller
from app.services import quotas
from app.services.leases import claim_job, release_job
from tests.integration.conftest import Service
from tests.integration.guarding import OPERATOR, guard


def claim_next(service: Service, max_running: int | None) -> str | None:
    with service.store.write() as session:
        job_id = queue.next_queued_job(session, max_running)
        if job_id is not None:
            assert claim_job(session, job_id, "wk_1") is not None
    return job_id


class TestQueued:
    def test_over_the_quota_are_refused_until_some_have_left(self, service: Service) -> None:
        spec = service.spec()
        with guard(service, tenant_max_queued=2) as http:
            made = [http.post("/v1/jobs", json=spec, headers=OPERATOR) for _ in range(3)]
            assert [answer.status_code for answer in made] == [202, 202, 429]
            assert (made[2].json()["code"], made[2].headers["Retry-After"]) == ("queue_quota_exceeded", "60")
            http.post(f"{made[0].headers['Location']}/cancel", headers=OPERATOR)
            assert http.post("/v1/jobs", json=spec, headers=OPERATOR).status_code == 202

    def test_cannot_be_exceeded_by_resuming_or_retrying(self, service: Service) -> None:
        paused, cancelled = service.submit(), service.submit()
        service.http.post(f"/v1/jobs/{paused}/pause")
        service.http.post(f"/v1/jobs/{cancelled}/cancel")
        service.submit()
        with guard(service, tenant_max_queued=1) as http:
            for url in (f"/v1/jobs/{paused}/resume", f"/v1/jobs/{cancelled}/retry"):
                answer = http.post(url, headers=OPERATOR)
                assert (answer.status_code, answer.json()["code"]) == (429, "queue_quota_exceeded")

    def test_do_not_stand_in_the_way_of_a_request_sent_again(self, service: Service) -> None:
        spec, headers = service.spec(), OPERATOR | {"Idempotency-Key": "k"}
        with guard(service, tenant_max_queued=1) as http:
            first, again = (http.post("/v1/jobs", json=spec, headers=headers) for _ in range(2))
        assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])

    def test_are_counted_exactly_when_many_come_at_once(self, service: Service) -> None:
        spec, together = service.spec(), Barrier(6)
        with guard(service, tenant_max_queued=2) as http:

            def post(_: int) -> int:
                together.wait()
                return http.post("/v1/jobs", json=spec, headers=OPERATOR).status_code

            with ThreadPoolExecutor(6) as pool:
                assert sorted(pool.map(post, range(6))) == [202, 202, 429, 429, 429, 429]

    def test_have_a_quota_that_can_be_a_tenants_own(self, service: Service) -> None:
        with service.store.write() as session:
            quotas.set_quotas(session, Caller("default", "cli"), "default", {"max_queued": 0})
        assert service.http.post("/v1/jobs", json=service.spec()).status_code == 429
        with service.store.write() as session:
            quotas.set_quotas(session, Caller("default", "cli"), "default", {"max_queued": None})
        assert service.http.post("/v1/jobs", json=service.spec()).status_code == 202


class TestRunning:
    def test_over_the_quota_wait_and_say_so(self, service: Service) -> None:
        first, second, third = (service.submit(priority=9) for _ in range(3))
        with service.store.write() as session:
            quotas.set_quotas(session, Caller("default", "cli"), "default", {"max_running": 2})
        assert [claim_next(service, None), claim_next(service, None), claim_next(service, None)] == [
            first,
            second,
            None,
        ]
        place = service.http.get(f"/v1/jobs/{third}").json()["queue"]
        assert (place["position"], "quota of running jobs" in place["reason"]) == (1, True)
        with service.store.read() as session:
            assert queue.waiting_jobs(session) == []  # no message is worth sending

    def test_hold_up_nobody_else(self, service: Service) -> None:
        mine = [service.submit(priority=9) for _ in range(2)]
        others = service.submit()
        with service.store.write() as session:
            session.get_one(Job, others).tenant = "other"
        assert [claim_next(service, 1) for _ in range(3)] == [mine[0], others, None]

    def test_are_as_many_as_the_quota_when_many_workers_ask_at_once(self, service: Service) -> None:
        for _ in range(6):
            service.submit()
        together = Barrier(6)

        def claim(_: int) -> str | None:
            together.wait()
            return claim_next(service, 2)

        with ThreadPoolExecutor(6) as pool:
            assert len([job_id for job_id in pool.map(claim, range(6)) if job_id]) == 2

    def test_make_room_when_one_ends(self, service: Service) -> None:
        first, second = service.submit(), service.submit()
        with service.store.write() as session:
            assert queue.next_queued_job(session, 1) == first
            claim = claim_job(session, first, "wk_1")
        assert claim is not None and claim_next(service, 1) is None
        with service.store.write() as session:
            assert queue.waiting_jobs(session, 1) == []
            assert release_job(session, claim, "lost")
        with service.store.read() as session:
            assert list(queue.waiting_jobs(session, 1)) == [first]
            places = queue.queue_positions(session, [first, second], 1)
        assert places == {first: (1, False), second: (2, True)}
