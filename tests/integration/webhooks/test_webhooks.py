"""Webhooks as their owners see them, on either database; what is sent is read from a real receiver."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from app.db.models import Job, WebhookDelivery
from app.domain.states import JobState
from app.services import dataset_leases, leases
from app.services.states import move_job
from tests.integration.conftest import Service
from tests.integration.guarding import guard, key_of
from tests.receiving import Receiver, receiving
from tests.support import client_of
from worker.webhooks import WebhookSender

URL = "https://hooks.example/tdmr"


def create(service: Service, **fields: object) -> dict[str, Any]:
    answer = service.http.post("/v1/webhooks", json={"url": URL} | fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def deliveries(service: Service, webhook_id: str, query: str = "") -> list[dict[str, Any]]:
    answer = service.http.get(f"/v1/webhooks/{webhook_id}/deliveries{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def problem(answer: Any) -> tuple[int, str, str | None]:
    told = answer.json()
    return answer.status_code, told["code"], told.get("param")


class TestCreate:
    def test_shows_the_secret_once(self, service: Service) -> None:
        answer = service.http.post("/v1/webhooks", json={"url": URL, "description": "chat"})
        made = answer.json()
        assert answer.headers["Location"] == f"/v1/webhooks/{made['id']}"
        assert answer.headers["Cache-Control"] == "no-store"
        assert made["secret"].startswith("whsec_")
        assert (made["url"], made["event_types"], made["enabled"]) == (URL, ["job.*", "dataset.*"], True)
        for path in (f"/v1/webhooks/{made['id']}", "/v1/webhooks"):
            shown = service.http.get(path)
            assert shown.status_code == 200
            assert "secret" not in {*shown.json(), *shown.json().get("data", [{}])[0]}
            assert made["secret"] not in shown.text

    def test_of_one_url_there_is_one(self, service: Service) -> None:
        made = create(service)
        answer = service.http.post("/v1/webhooks", json={"url": "HTTPS://hooks.example:443/tdmr"})
        assert problem(answer) == (409, "webhook_exists", "url")
        assert made["id"] in answer.json()["detail"]

    def test_there_are_only_so_many(self, service: Service) -> None:
        with client_of(service.settings.model_copy(update={"max_webhooks": 1})) as http:
            assert http.post("/v1/webhooks", json={"url": URL}).status_code == 201
            assert problem(http.post("/v1/webhooks", json={"url": f"{URL}/2"})) == (409, "too_many_webhooks", None)

    @pytest.mark.parametrize(
        "url", ["http://localhost:9/", "http://127.0.0.1/", "http://[::1]/", "http://10.0.0.1/", "http://0x7f.1/"]
    )
    def test_refuses_an_address_that_is_not_public_and_says_what_to_do(self, service: Service, url: str) -> None:
        answer = service.http.post("/v1/webhooks", json={"url": url})
        assert problem(answer) == (422, "destination_refused", "url")
        assert "TDMR_OUTBOUND_ALLOW" in answer.json()["hint"]

    def test_refuses_metadata_even_where_the_network_is_allowed(self, service: Service) -> None:
        with client_of(service.settings.model_copy(update={"outbound_allow": "160.0.0.0/4,localhost"})) as http:
            metadata = http.post("/v1/webhooks", json={"url": "http://169.254.169.254/latest"})
            assert problem(metadata) == (422, "destination_refused", "url")
            assert http.post("/v1/webhooks", json={"url": "http://localhost:9/"}).status_code == 201

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"url": "ftp://a.example/"}, "url"),
            ({"url": "https://user:pw@a.example/"}, "url"),
            ({"event_types": []}, "event_types"),
            ({"event_types": ["job.exploded"]}, "event_types.0"),
            ({"enabled": "yes"}, "enabled"),
            ({"secret": "whsec_mine"}, "secret"),
        ],
    )
    def test_refuses_what_is_invalid(self, service: Service, fields: dict[str, object], param: str) -> None:
        answer = service.http.post("/v1/webhooks", json={"url": URL} | fields)
        assert problem(answer) == (422, "invalid_request", param)


class TestChange:
    def test_changes_what_is_sent_and_nothing_else(self, service: Service) -> None:
        made = create(service, description="a")
        changed = service.http.patch(f"/v1/webhooks/{made['id']}", json={"event_types": ["job.failed"]}).json()
        assert (changed["event_types"], changed["description"], changed["url"]) == (["job.failed"], "a", URL)
        assert changed["updated_at"] > made["updated_at"]

    def test_what_waits_goes_to_the_new_url(self, service: Service) -> None:
        made = create(service)
        service.submit()
        with receiving() as receiver:
            allowed = service.settings.model_copy(update={"outbound_allow": "127.0.0.1"})
            with client_of(allowed) as http:
                assert http.patch(f"/v1/webhooks/{made['id']}", json={"url": receiver.url}).status_code == 200
            sender = WebhookSender(allowed, service.store, threading.Event())
            assert sender.send_due() > 0
            assert sender.wait(60)
            assert {request.path for request in receiver.received} == {"/hooks"}

    def test_to_the_url_of_another_is_refused(self, service: Service) -> None:
        made, other = create(service), create(service, url=f"{URL}/2")
        answer = service.http.patch(f"/v1/webhooks/{made['id']}", json={"url": other["url"]})
        assert problem(answer) == (409, "webhook_exists", "url")
        assert service.http.patch(f"/v1/webhooks/{made['id']}", json={"url": URL}).status_code == 200

    def test_a_disabled_one_is_told_nothing(self, service: Service) -> None:
        made = create(service, enabled=False)
        service.submit()
        assert deliveries(service, made["id"]) == []
        service.http.patch(f"/v1/webhooks/{made['id']}", json={"enabled": True})
        service.submit()
        assert [one["event_type"] for one in deliveries(service, made["id"])] == ["job.queued", "dataset.ready"]

    def test_delete_removes_it_with_its_deliveries(self, service: Service) -> None:
        made = create(service)
        service.submit()
        assert service.http.delete(f"/v1/webhooks/{made['id']}").status_code == 204
        assert service.http.get(f"/v1/webhooks/{made['id']}").status_code == 404
        assert service.http.delete(f"/v1/webhooks/{made['id']}").status_code == 404
        with service.store.read() as session:
            assert session.scalars(select(WebhookDelivery)).all() == []

    def test_every_change_is_in_the_audit_trail(self, service: Service) -> None:
        made = create(service)
        one = f"/v1/webhooks/{made['id']}"
        service.http.patch(one, json={"description": "b"})
        service.http.post(f"{one}/rotate-secret")
        sent = service.http.post(f"{one}/test").json()
        service.http.post(f"{one}/deliveries/{sent['id']}/redeliver")
        service.http.delete(one)
        trail = service.http.get("/v1/audit?limit=100").json()["data"]
        assert [(entry["action"], entry["object_id"]) for entry in reversed(trail)] == [
            ("create_webhook", made["id"]),
            ("update_webhook", made["id"]),
            ("rotate_webhook_secret", made["id"]),
            ("test_webhook", made["id"]),
            ("redeliver_webhook_delivery", sent["id"]),
            ("delete_webhook", made["id"]),
        ]


class TestOutbox:
    def test_tells_each_change_of_a_job_in_the_transaction_of_the_change(self, service: Service) -> None:
        made = create(service, event_types=["job.*"])
        job_id = service.submit(metadata={"owner": "ann"})
        with service.store.write() as session:
            claim = leases.claim_job(session, job_id, "wk_1")
            assert claim is not None
        with service.store.write() as session:
            assert leases.fail_job(session, claim, {"code": "out_of_memory", "title": "t", "detail": "It was."})
        told = [one["event"] for one in reversed(deliveries(service, made["id"]))]
        assert [(event["type"], event["data"]["reason"], event["data"]["seq"]) for event in told] == [
            ("job.queued", "submitted", 1),
            ("job.running", "claimed", 2),
            ("job.failed", "out_of_memory", 3),
        ]
        last = told[-1]["data"]
        assert (last["id"], last["object"], last["state"], last["metadata"]) == (
            job_id,
            "job",
            "failed",
            {"owner": "ann"},
        )
        assert last["error"]["code"] == "out_of_memory"

    def test_a_change_that_is_rolled_back_is_not_told(self, service: Service) -> None:
        made = create(service, event_types=["job.*"])
        job_id = service.submit()
        with pytest.raises(ZeroDivisionError), service.store.write() as session:
            move_job(session, session.get_one(Job, job_id), JobState.CANCELLED, "cancelled")
            _ = 1 / 0
        assert [one["event_type"] for one in deliveries(service, made["id"])] == ["job.queued"]

    def test_tells_how_an_import_ended(self, service: Service) -> None:
        made = create(service, event_types=["dataset.*"])
        ready, rejected = service.ready_dataset(), service.validating_dataset()
        with service.store.write() as session:
            claim = dataset_leases.claim_dataset(session, rejected, "wk_1")
            assert claim is not None
            assert dataset_leases.reject_dataset(session, claim, {"code": "dataset_rejected", "detail": "No image."})
        told = {one["object_id"]: one["event"] for one in deliveries(service, made["id"])}
        assert (told[ready]["type"], told[ready]["data"]["images"]) == ("dataset.ready", 5)
        assert told[rejected]["type"] == "dataset.rejected"
        assert told[rejected]["data"]["error"]["detail"] == "No image."

    def test_tells_each_only_what_it_wants_and_one_event_has_one_id(self, service: Service) -> None:
        both = create(service), create(service, url=f"{URL}/2", event_types=["job.queued"])
        nothing = create(service, url=f"{URL}/3", event_types=["job.failed"])
        service.submit()
        ids = [{one["event_id"] for one in deliveries(service, made["id"])} for made in both]
        assert len(ids[0]) == 2  # the data set too
        assert ids[1] < ids[0]
        assert deliveries(service, nothing["id"]) == []

    def test_tells_no_other_tenant(self, service: Service) -> None:
        with guard(service) as http:
            made = http.post("/v1/webhooks", json={"url": URL}, headers=key_of(service, "stranger")).json()
            service.submit()
        with service.store.read() as session:
            rows = session.scalars(select(WebhookDelivery).where(WebhookDelivery.webhook_id == made["id"])).all()
        assert rows == []


class TestWebhookUrlOfAJob:
    def test_is_told_of_this_job_alone_and_shown(self, service: Service) -> None:
        job_id = service.submit(webhook_url=URL)
        service.submit()
        assert service.http.get(f"/v1/jobs/{job_id}").json()["webhook_url"] == URL
        assert "webhook_url" not in service.http.get(f"/v1/jobs/{job_id}").json()["spec"]
        (told,) = deliveries(service, "default")
        assert (told["object_id"], told["url"], told["event_type"]) == (job_id, URL, "job.queued")
        assert service.http.get("/v1/webhooks").json()["data"] == []
        assert service.http.get("/v1/webhooks/default").json()["url"] is None

    def test_the_stored_spec_stays_what_another_version_can_read(self, service: Service) -> None:
        job_id = service.submit(webhook_url=URL)
        with service.store.read() as session:
            assert "webhook_url" not in session.get_one(Job, job_id).spec
        with service.store.write() as session:
            assert leases.claim_job(session, job_id, "wk_1") is not None

    def test_retry_and_rerun_keep_it(self, service: Service) -> None:
        job_id = service.submit(webhook_url=URL)
        service.http.post(f"/v1/jobs/{job_id}/cancel")
        for action in ("retry", "rerun"):
            assert service.http.post(f"/v1/jobs/{job_id}/{action}").json()["webhook_url"] == URL

    def test_is_part_of_what_an_idempotency_key_stands_for(self, service: Service) -> None:
        spec, headers = service.spec(), {"Idempotency-Key": "a"}
        first = service.http.post("/v1/jobs", json=spec | {"webhook_url": URL}, headers=headers)
        again = service.http.post("/v1/jobs", json=spec | {"webhook_url": URL}, headers=headers)
        assert again.json()["id"] == first.json()["id"]
        assert problem(service.http.post("/v1/jobs", json=spec, headers=headers))[:2] == (422, "idempotency_key_reused")

    def test_that_is_not_public_is_refused(self, service: Service) -> None:
        answer = service.http.post("/v1/jobs", json=service.spec(webhook_url="http://127.0.0.1:9/"))
        assert problem(answer) == (422, "destination_refused", "webhook_url")

    def test_default_can_be_rotated_before_its_first_use_and_not_deleted(self, service: Service) -> None:
        assert service.http.get("/v1/webhooks/default").status_code == 404
        secret = service.http.post("/v1/webhooks/default/rotate-secret").json()["secret"]
        service.submit(webhook_url=URL)
        with service.store.read() as session:
            assert service.http.get("/v1/webhooks/default").json()["id"]
            assert secret.startswith("whsec_")
            assert len(session.scalars(select(WebhookDelivery)).all()) == 1
        for method, path in (("DELETE", ""), ("PATCH", ""), ("POST", "/test")):
            body = {"json": {}} if method == "PATCH" else {}
            answer = service.http.request(method, f"/v1/webhooks/default{path}", **body)
            assert problem(answer)[:2] == (409, "state_conflict"), method


class TestSecrets:
    def test_rotation_gives_a_new_one_and_keeps_the_old_for_a_day(self, service: Service) -> None:
        made = create(service)
        rotated = service.http.post(f"/v1/webhooks/{made['id']}/rotate-secret")
        assert rotated.headers["Cache-Control"] == "no-store"
        assert rotated.json()["secret"] != made["secret"]
        assert rotated.json()["old_secret_until"] > made["created_at"]


class TestDeliveries:
    @pytest.fixture
    def receiver(self) -> Iterator[Receiver]:
        with receiving() as receiver:
            yield receiver

    def test_are_listed_newest_first_by_page_and_state(self, service: Service) -> None:
        made = create(service)
        service.submit()
        newest, oldest = deliveries(service, made["id"])
        assert (newest["event_type"], oldest["event_type"]) == ("job.queued", "dataset.ready")
        assert (newest["state"], newest["attempts"], newest["log"]) == ("pending", 0, [])
        assert deliveries(service, made["id"], f"?after={newest['id']}") == [oldest]
        assert len(deliveries(service, made["id"], "?state=pending&limit=1")) == 1
        assert deliveries(service, made["id"], "?state=failed") == []

    def test_a_test_is_sent_once_to_a_disabled_webhook_too(self, service: Service, receiver: Receiver) -> None:
        allowed = service.settings.model_copy(update={"outbound_allow": "127.0.0.1"})
        with client_of(allowed) as http:
            made = http.post("/v1/webhooks", json={"url": receiver.url, "enabled": False}).json()
            asked = http.post(f"/v1/webhooks/{made['id']}/test")
            assert asked.status_code == 202
            sender = WebhookSender(allowed, service.store, threading.Event())
            assert sender.send_due() == 1
            assert sender.wait(60)
            sent = http.get(asked.headers["Location"]).json()
        assert (sent["state"], sent["status"], sent["event_type"]) == ("succeeded", 204, "webhook.test")
        assert json.loads(receiver.received[0].body)["data"] == {"id": made["id"], "object": "webhook"}
