"""Who may see and do what on pages: sessions, scopes, tenants."""

import time
from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

from app.api.deps import SESSION_COOKIE
from app.db.models import ApiKey, AuditEntry, WebSession, utcnow
from app.domain.access import Scope
from app.domain.states import JobState
from app.services.authentication import CACHE_SECONDS
from tests.integration.conftest import Service
from tests.integration.guarding import OPERATOR, OPERATOR_KEY, guard, key_of
from tests.integration.pages.browsing import PAGES, csrf_of, ended, get, post, secret_of, sign_in


class TestSessions:
    def test_without_one_every_page_leads_to_the_sign_in(self, service: Service) -> None:
        with guard(service) as http:
            for path in PAGES:
                answer = get(http, path)
                assert answer.status_code == 303 and answer.headers["Location"].startswith("/sign-in"), path
            assert get(http, "/sign-in").status_code == 200
            assert http.get("/v1/jobs").status_code == 401

    def test_a_key_opens_one_and_its_secret_is_stored_nowhere(self, service: Service) -> None:
        with guard(service) as http:
            answer = sign_in(http, OPERATOR_KEY)
            cookie = answer.headers["Set-Cookie"]
            assert answer.status_code == 303 and "HttpOnly" in cookie and "SameSite=strict" in cookie
            assert get(http, "/").status_code == 200 and http.get("/v1/jobs").status_code == 200
            with service.store.read() as session:
                [row] = session.scalars(select(WebSession))
                assert http.cookies[SESSION_COOKIE] not in repr(vars(row)) and OPERATOR_KEY not in repr(vars(row))
                [entry] = session.scalars(select(AuditEntry).where(AuditEntry.action == "sign_in"))
            assert (entry.actor, entry.object_id) == ("bootstrap", row.id)

    def test_a_wrong_key_opens_none(self, service: Service) -> None:
        with guard(service) as http:
            answer = sign_in(http, "tdmr_wrong")
            assert answer.status_code == 401 and "Set-Cookie" not in answer.headers
            assert "not valid" in answer.text

    @pytest.mark.parametrize("onward", ["//evil.example", "https://evil.example", "/\\evil.example", "jobs"])
    def test_leads_to_no_other_host(self, service: Service, onward: str) -> None:
        with guard(service) as http:
            assert post(http, "/forms/sign-in", key=OPERATOR_KEY, next=onward).headers["Location"] == "/"

    def test_ends_with_a_sign_out(self, service: Service) -> None:
        with guard(service) as http:
            sign_in(http, OPERATOR_KEY)
            secret = http.cookies[SESSION_COOKIE]
            assert post(http, "/forms/sign-out", csrf=csrf_of(http)).headers["Location"] == "/sign-in"
            http.cookies.set(SESSION_COOKIE, secret)
            assert get(http, "/").status_code == 303

    def test_ends_with_its_key(self, service: Service) -> None:
        header = key_of(service, "acme")
        with guard(service) as http:
            sign_in(http, secret_of(header))
            assert get(http, "/").status_code == 200
            key_id = http.get("/v1/keys").json()["data"][0]["id"]
            assert http.delete(f"/v1/keys/{key_id}?tenant=acme", headers=OPERATOR).status_code == 204
            deadline = time.monotonic() + CACHE_SECONDS + 60
            while get(http, "/").status_code == 200:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            assert http.get("/v1/jobs").status_code == 401

    @pytest.mark.parametrize("what", ["session", "key"])
    def test_ends_when_it_or_its_key_expires(self, service: Service, what: str) -> None:
        header = key_of(service, "acme")
        with guard(service) as http:
            sign_in(http, secret_of(header))
            past = utcnow() - timedelta(seconds=1)
            with service.store.write() as session:
                session.execute(update(WebSession if what == "session" else ApiKey).values(expires_at=past))
            assert get(http, "/").status_code == 303

    def test_of_the_first_key_ends_when_that_is_another(self, service: Service) -> None:
        with guard(service) as http:
            sign_in(http, OPERATOR_KEY)
            secret = http.cookies[SESSION_COOKIE]
        with guard(service, api_key=SecretStr("tdmr_another")) as http:
            http.cookies.set(SESSION_COOKIE, secret)
            assert get(http, "/").status_code == 303

    def test_changes_nothing_without_its_token(self, service: Service) -> None:
        job_id = service.submit()
        with guard(service) as http:
            sign_in(http, OPERATOR_KEY)
            token = csrf_of(http)
            for wrong in ({}, {"csrf": ""}, {"csrf": token[:-1] + ("0" if token[-1] != "0" else "1")}):
                assert post(http, f"/forms/jobs/{job_id}", action="cancel", **wrong).status_code == 403
            refused = http.post(f"/v1/jobs/{job_id}/cancel")
            assert (refused.status_code, refused.json()["code"]) == (403, "csrf_token_invalid")
            assert http.post("/forms/sign-out").status_code == 403
            assert http.get(f"/v1/jobs/{job_id}").json()["state"] == JobState.QUEUED
            assert http.post(f"/v1/jobs/{job_id}/pause", headers={"X-CSRF-Token": token}).status_code == 202
            assert post(http, f"/forms/jobs/{job_id}", action="cancel", csrf=token).status_code == 303

    def test_of_another_gives_no_token(self, service: Service) -> None:
        job_id = service.submit()
        with guard(service) as mine, guard(service) as theirs:
            sign_in(mine, OPERATOR_KEY), sign_in(theirs, OPERATOR_KEY)
            answer = post(theirs, f"/forms/jobs/{job_id}", action="cancel", csrf=csrf_of(mine))
            assert answer.status_code == 403

    def test_a_key_that_is_sent_needs_no_token(self, service: Service) -> None:
        job_id = service.submit()
        with guard(service) as http:
            sign_in(http, OPERATOR_KEY)
            assert http.post(f"/v1/jobs/{job_id}/cancel", headers=OPERATOR).status_code == 202


class TestScopes:
    def test_buttons_that_a_key_may_not_use_are_not_shown(self, service: Service) -> None:
        job_id, header = service.submit(), key_of(service, "default", Scope.READ)
        with guard(service) as http:
            sign_in(http, secret_of(header))
            text = get(http, f"/jobs/{job_id}").text
            assert 'value="cancel"' not in text and "/forms/jobs" not in text and ">New job<" not in text
            assert "/keys" not in text
            assert post(http, f"/forms/jobs/{job_id}", action="cancel", csrf=csrf_of(http)).status_code == 403
            assert [get(http, path).status_code for path in ("/keys", "/audit", "/tenants")] == [403] * 3

    def test_only_the_operator_sees_tenants(self, service: Service) -> None:
        header = key_of(service, "acme")
        with guard(service) as http:
            sign_in(http, secret_of(header))
            assert get(http, "/keys").status_code == 200 and get(http, "/tenants").status_code == 403
            assert get(http, "/keys?tenant=default").status_code == 403
            token = csrf_of(http)
            assert post(http, "/forms/tenants/acme/quotas", max_queued="9", csrf=token).status_code == 403
            assert post(http, "/forms/keys", name="x", scopes="read", tenant="default", csrf=token).status_code == 403


class TestTenants:
    def test_nobody_sees_anything_of_another(self, service: Service) -> None:
        job_id, dataset_id = ended(service), service.ready_dataset()
        header = key_of(service, "acme")
        with guard(service) as http:
            sign_in(http, secret_of(header))
            for path in ("/", "/jobs", "/datasets", "/queue", "/jobs/new", "/audit", "/keys"):
                text = get(http, path).text
                assert job_id not in text and dataset_id not in text and "digits.zip" not in text, path
            hidden = [
                f"/jobs/{job_id}",
                f"/jobs/{job_id}/cell?label=cat&predicted=dog",
                f"/jobs/new?like={job_id}",
                f"/datasets/{dataset_id}",
                f"/datasets/{dataset_id}/images",
                f"/pictures/{dataset_id}?path=x",
            ]
            assert {path: get(http, path).status_code for path in hidden} == dict.fromkeys(hidden, 404)
            token = csrf_of(http)
            assert post(http, f"/forms/jobs/{job_id}", action="delete", csrf=token).status_code == 404
            assert post(http, f"/forms/datasets/{dataset_id}", action="delete", csrf=token).status_code == 404
            assert post(http, f"/forms/datasets/{dataset_id}/labels.csv", csrf=token).status_code == 404
