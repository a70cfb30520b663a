"""Keys, what they open, and the trail of who changed what."""

import io
import json
import logging
import time
from datetime import timedelta

import pytest
from sqlalchemy import inspect, text, update

from app.db.models import ApiKey, utcnow
from app.domain.access import Scope
from app.logs import JsonLines
from app.services.authentication import CACHE_SECONDS
from tests.integration.conftest import Service
from tests.integration.guarding import OPERATOR, OPERATOR_KEY, guard, key_of

LONG_SECONDS = 60


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


class TestKeys:
    def test_the_first_of_a_new_tenant_is_made_by_the_operator(self, service: Service) -> None:
        service.submit()
        with guard(service) as http:
            answer = http.post("/v1/keys", headers=OPERATOR, json={"name": "ci", "tenant": "acme"})
            body = answer.json()
            assert answer.status_code == 201, answer.text
            assert (body["tenant"], body["scopes"], body["expires_at"]) == ("acme", ["read", "write"], None)
            listed = http.get("/v1/jobs", headers=bearer(body["key"]))
            assert (listed.status_code, listed.json()["data"]) == (200, [])
            assert len(http.get("/v1/jobs", headers=OPERATOR).json()["data"]) == 1
            url = f"{answer.headers['Location']}?tenant=acme"
            assert http.get(url, headers=OPERATOR).json()["last_used_at"] is not None

    def test_are_shown_once_and_stored_nowhere(self, service: Service, caplog: pytest.LogCaptureFixture) -> None:
        with guard(service) as http:
            answer = http.post("/v1/keys", headers=OPERATOR, json={"name": "ci", "scopes": ["admin"]})
            secret = answer.json()["key"]
            assert len(secret) > 40 and answer.headers["Cache-Control"] == "no-store"
            assert secret not in http.get("/v1/keys", headers=bearer(secret)).text
            assert secret not in http.get(answer.headers["Location"], headers=bearer(secret)).text
        with service.store.read() as session:
            for table in inspect(service.store.engine).get_table_names():
                rows = session.execute(text(f"SELECT * FROM {table}")).all()
                assert secret not in repr(rows), table
        logged = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
        assert secret not in logged and OPERATOR_KEY not in logged

    def test_open_nothing_soon_after_they_are_revoked(self, service: Service) -> None:
        with guard(service) as http:
            made = http.post("/v1/keys", headers=OPERATOR, json={"name": "ci"})
            headers = bearer(made.json()["key"])
            assert http.get("/v1/jobs", headers=headers).status_code == 200
            revoked = http.delete(made.headers["Location"], headers=OPERATOR)
            assert revoked.status_code == 204
            assert http.delete(made.headers["Location"], headers=OPERATOR).status_code == 404
            assert http.get("/v1/keys", headers=OPERATOR).json()["data"] == []
            deadline = time.monotonic() + CACHE_SECONDS + LONG_SECONDS
            while http.get("/v1/jobs", headers=headers).status_code == 200:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            assert http.get("/v1/jobs", headers=headers).status_code == 401

    def test_open_nothing_once_they_have_expired(self, service: Service) -> None:
        with guard(service) as http:
            made = http.post("/v1/keys", headers=OPERATOR, json={"name": "ci", "expires_in_days": 1}).json()
            with service.store.write() as session:
                past = utcnow() - timedelta(seconds=1)
                session.execute(update(ApiKey).where(ApiKey.id == made["id"]).values(expires_at=past))
            assert http.get("/v1/jobs", headers=bearer(made["key"])).status_code == 401

    def test_that_are_known_to_the_process_expire_too(self, service: Service) -> None:
        with guard(service) as http:
            made = http.post("/v1/keys", headers=OPERATOR, json={"name": "ci"}).json()
            soon = utcnow() + timedelta(seconds=3)
            with service.store.write() as session:
                session.execute(update(ApiKey).where(ApiKey.id == made["id"]).values(expires_at=soon))
            while http.get("/v1/jobs", headers=bearer(made["key"])).status_code == 200:
                assert utcnow() < soon + timedelta(seconds=CACHE_SECONDS / 2)
                time.sleep(0.1)
            assert utcnow() >= soon

    def test_for_another_tenant_are_the_operators_to_make(self, service: Service) -> None:
        admin = key_of(service, "acme", Scope.ADMIN)
        with guard(service) as http:
            own = http.post("/v1/keys", headers=admin, json={"name": "ci"})
            assert (own.status_code, own.json()["tenant"]) == (201, "acme")
            for answer in (
                http.post("/v1/keys", headers=admin, json={"name": "ci", "tenant": "other"}),
                http.get("/v1/keys?tenant=other", headers=admin),
                http.get("/v1/audit?tenant=other", headers=admin),
            ):
                assert (answer.status_code, answer.json()["code"], answer.json()["param"]) == (
                    403,
                    "forbidden",
                    "tenant",
                )

    @pytest.mark.parametrize(
        ("change", "param"),
        [
            ({"name": ""}, "name"),
            ({"name": "a\x00"}, "name"),
            ({"scopes": []}, "scopes"),
            ({"scopes": ["root"]}, "scopes.0"),
            ({"expires_in_days": 0}, "expires_in_days"),
            ({"tenant": "../x"}, "tenant"),
            ({"expires": 3}, "expires"),
        ],
    )
    def test_are_made_as_asked_or_not_at_all(self, service: Service, change: dict[str, object], param: str) -> None:
        answer = service.http.post("/v1/keys", json={"name": "ci"} | change)
        assert (answer.status_code, answer.json()["param"]) == (422, param)
        assert service.http.get("/v1/keys").json()["data"] == []

    def test_that_are_sent_count_where_none_is_needed(self, service: Service) -> None:
        job_id = service.submit()
        assert service.http.get(f"/v1/jobs/{job_id}", headers=key_of(service, "default")).status_code == 200
        assert service.http.get(f"/v1/jobs/{job_id}", headers=key_of(service, "acme")).status_code == 404
        assert service.http.get(f"/v1/jobs/{job_id}", headers=bearer("tdmr_unknown")).status_code == 401


class TestLog:
    def test_tells_who_asked(self, service: Service) -> None:
        lines = io.StringIO()
        handler, log = logging.StreamHandler(lines), logging.getLogger("app.api.middleware")
        handler.setFormatter(JsonLines())
        log.addHandler(handler)
        try:
            with guard(service) as http:
                http.get("/v1/jobs", headers=OPERATOR)
                http.get("/v1/jobs")
        finally:
            log.removeHandler(handler)
        known, unknown = map(json.loads, lines.getvalue().splitlines())
        assert (known["tenant"], known["actor"], known["status"]) == ("default", "bootstrap", 200)
        assert (unknown.get("actor"), unknown["status"]) == (None, 401)


class TestAudit:
    def test_says_who_deleted_it(self, service: Service) -> None:
        dataset_id = service.ready_dataset()
        ann, bob = key_of(service, "default"), key_of(service, "default")
        with guard(service) as http:
            ids = [key["id"] for key in http.get("/v1/keys", headers=OPERATOR).json()["data"]]
            assert http.delete(f"/v1/datasets/{dataset_id}", headers=ann).status_code == 204
            assert http.delete(f"/v1/datasets/{dataset_id}", headers=bob).status_code == 404
            (entry,) = http.get(f"/v1/audit?object_id={dataset_id}", headers=OPERATOR).json()["data"]
        assert (entry["action"], entry["actor"]) == ("delete_dataset", ids[1])
        assert entry["request_id"].startswith("req_") and entry["address"] == "testclient"

    def test_tells_what_was_made_and_by_whom_without_a_key(self, service: Service) -> None:
        job_id = service.submit()
        service.http.post(f"/v1/jobs/{job_id}/cancel")
        retried = service.http.post(f"/v1/jobs/{job_id}/retry").json()["id"]
        entries = service.http.get("/v1/audit").json()["data"]
        assert [(entry["action"], entry["object_id"]) for entry in entries] == [
            ("retry_job", retried),
            ("cancel_job", job_id),
            ("create_job", job_id),
        ]
        assert {entry["actor"] for entry in entries} == {"local"}

    def test_has_nothing_of_what_was_refused(self, service: Service) -> None:
        job_id = service.submit()
        service.http.post(f"/v1/jobs/{job_id}/resume")
        service.http.post("/v1/jobs", json=service.spec(dataset_id="ds_0"))
        assert [entry["action"] for entry in service.http.get("/v1/audit").json()["data"]] == ["create_job"]

    def test_is_a_tenants_own(self, service: Service) -> None:
        with guard(service) as http:
            acme = key_of(service, "acme")
            http.post("/v1/keys", headers=acme, json={"name": "ci"})
            assert len(http.get("/v1/audit", headers=acme).json()["data"]) == 2  # and the making of its first key
            assert http.get("/v1/audit", headers=OPERATOR).json()["data"] == []
            assert len(http.get("/v1/audit?tenant=acme", headers=OPERATOR).json()["data"]) == 2

    def test_of_a_tenant_tells_what_the_operator_did_to_its_keys(self, service: Service) -> None:
        with guard(service) as http:
            acme = key_of(service, "acme")
            before = len(http.get("/v1/audit", headers=acme).json()["data"])
            made = http.post("/v1/keys", headers=OPERATOR, json={"name": "ci", "tenant": "acme"})
            http.delete(f"{made.headers['Location']}?tenant=acme", headers=OPERATOR)
            theirs = http.get("/v1/audit", headers=acme).json()["data"]
            ours = http.get("/v1/audit", headers=OPERATOR).json()["data"]
        assert len(theirs) == before + 2
        for trail, address in ((theirs, None), (ours, "testclient")):  # where the operator works is not told
            told = [(entry["action"], entry["object_id"], entry["actor"], entry["address"]) for entry in trail[:2]]
            key_id = made.json()["id"]
            assert told == [(action, key_id, "bootstrap", address) for action in ("revoke_key", "create_key")]
        assert [entry["request_id"] for entry in theirs[:2]] == [entry["request_id"] for entry in ours[:2]]
