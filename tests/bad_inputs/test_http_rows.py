"""Rows 1 to 7, 16 and 18 of the bad inputs: HTTP. Rows 2 and 3 are also in tests/integration/access/test_tenants.py,
for every route there is; row 19 is in tests/integration/access/test_rates.py."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from app.domain.access import Caller
from app.domain.spec import JobSpec
from app.services import idempotency, jobs, keys
from tests.integration.conftest import Service
from tests.integration.guarding import OPERATOR, OPERATOR_KEY, guard, key_of

CALLER = Caller("default", "local")
JSON = {"Content-Type": "application/json"}
TAKING_JSON = ["/v1/jobs", "/v1/keys", "/v1/datasets"]
SHORT = 30_000
TUS = {"Tus-Resumable": "1.0.0"}


def files(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "Bearer wrong",
        "Bearer ",
        f"Basic {OPERATOR_KEY}",
        OPERATOR_KEY,
        f"Bearer {OPERATOR_KEY}2",
        "Bearer é",
        f"Bearer tdmr_{'A' * 43}",
        f"Bearer {'A' * 60_000}",
    ],
    ids=["none", "wrong", "empty", "basic", "bare", "longer", "no ascii", "unknown", "giant"],
)
def test_bad_input_row01_no_key_or_an_unknown_one(service: Service, header: str | None) -> None:
    headers = {"Authorization": header.encode("latin-1")} if header else {}
    with guard(service) as http:
        for path in ("/v1/jobs", "/v1/datasets", "/v1/teachers", "/v1/keys", "/v1/jobs/job_1/artifacts/a"):
            answer = http.get(path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert OPERATOR_KEY not in answer.text
        assert http.get("/v1/jobs", headers=OPERATOR).status_code == 200


def test_bad_input_row01_a_revoked_key(service: Service) -> None:
    with service.store.write() as session:
        key, secret = keys.create(session, CALLER, "default", name="n", scopes=["read"])
        keys.revoke(session, CALLER, "default", key.id)
    with guard(service) as http:
        answer = http.get("/v1/jobs", headers={"Authorization": f"Bearer {secret}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("path", TAKING_JSON)
def test_bad_input_row04_a_body_that_is_no_json(service: Service, path: str) -> None:
    for body in (b"{", b"", b"\xff\xfe", b"{'a': 1}", b'{"a": 1} x', b'{"a": "\x00"}', b"\x00", b'{"a": 1'):
        answer = service.http.post(path, content=body, headers=JSON)
        assert answer.status_code == 400 or (answer.status_code == 422 and not body), body
        # nothing at all may also count as a body that is missing
        assert answer.json()["code"] in {"malformed_request", "malformed_request" if body else "invalid_request"}, body


@pytest.mark.parametrize("path", TAKING_JSON)
def test_bad_input_row05_json_nested_deep(service: Service, path: str) -> None:
    for body in (b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000):
        answer = service.http.post(path, content=body, headers=JSON)
        if path == "/v1/datasets":  # takes less JSON than that, however deep
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
            answer = service.http.post(path, content=body[:SHORT] + body[-SHORT:], headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


def test_bad_input_row06_an_unknown_field(service: Service) -> None:
    answer = service.http.post("/v1/jobs", json=service.spec(distil={}, reprogram={"stepz": 3}))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [(item["param"], item["hint"]) for item in answer.json()["errors"]] == [
        ("reprogram.stepz", "Did you mean 'steps'?"),
        ("distil", "Did you mean 'distill'?"),
    ]
    assert {item["detail"] for item in answer.json()["errors"]} == {"There is no such field."}
    of_upload = "Known fields: layout, encoding, labels_column, unlabelled_classes, stretch, upload_id, name."
    for path, body, hint in (
        ("/v1/keys", {"name": "n", "root": True}, "Known fields: name, scopes, expires_in_days, tenant."),
        ("/v1/keys", {"name": "n", "scope": []}, "Did you mean 'scopes'?"),
        ("/v1/datasets", {"upload_id": "x", "more": 1}, of_upload),
    ):
        answer = service.http.post(path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert answer.json()["hint"] == hint
    assert service.http.get("/v1/jobs").json()["data"] == service.http.get("/v1/keys").json()["data"] == []


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/keys", "/v1/datasets"])
def test_bad_input_row07_a_wrong_media_type(service: Service, path: str) -> None:
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/mixed; boundary=b", ""):
        answer = service.http.post(path, content=b"{}", headers={"Content-Type": media_type})
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type"), media_type


def test_bad_input_row16_a_quota_of_bytes_exceeded(service: Service) -> None:
    with guard(service, tenant_max_bytes=1000) as http:
        first = http.post("/v1/datasets", files={"file": ("a.zip", b"a" * 600)}, headers=OPERATOR)
        assert first.status_code == 202
        refused = [
            http.post("/v1/datasets", files={"file": ("b.zip", b"b" * 600)}, headers=OPERATOR),
            http.post("/v1/datasets", content=b"b" * 600, headers=OPERATOR | {"Content-Type": "application/zip"}),
            http.post("/v1/uploads", headers=OPERATOR | TUS | {"Upload-Length": "600"}),
        ]
        for answer in refused:
            assert (answer.status_code, answer.json()["code"]) == (413, "bytes_quota_exceeded")
            assert "600 bytes" in answer.json()["detail"] and "1,000" in answer.json()["detail"]
        assert files(service.settings.scratch) == []
        assert len(files(service.settings.root / "blobs")) == 1
        other = http.post("/v1/datasets", files={"file": ("b.zip", b"b" * 600)}, headers=key_of(service, "other"))
        assert other.status_code == 202
        assert http.delete(first.headers["Location"], headers=OPERATOR).status_code == 204
        again = http.post("/v1/datasets", files={"file": ("b.zip", b"b" * 600)}, headers=OPERATOR)
        assert again.status_code == 202


def test_bad_input_row16_by_many_at_once(service: Service) -> None:
    together = Barrier(4)
    with guard(service, tenant_max_bytes=1000) as http:

        def post(number: int) -> int:
            together.wait()
            body = bytes([number]) * 400
            return http.post("/v1/datasets", files={"file": ("a.zip", body)}, headers=OPERATOR).status_code

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(post, range(4))) == [202, 202, 413, 413]


def test_bad_input_row18_an_idempotency_key_again(service: Service) -> None:
    spec, headers = service.spec(), {"Idempotency-Key": "k-1"}
    first = service.http.post("/v1/jobs", json=spec, headers=headers)
    second = service.http.post("/v1/jobs", json=spec, headers=headers)
    assert first.json()["id"] == second.json()["id"]
    assert "Idempotent-Replayed" not in first.headers
    assert (second.status_code, second.headers["Idempotent-Replayed"]) == (202, "true")
    answer = service.http.post("/v1/jobs", json=spec | {"seed": 1}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert len(service.http.get("/v1/jobs").json()["data"]) == 1


def test_bad_input_row18_twins_at_one_moment(service: Service) -> None:
    spec, headers, together = service.spec(), {"Idempotency-Key": "k-1"}, Barrier(6)

    def post(_: int) -> tuple[int, str]:
        together.wait()
        answer = service.http.post("/v1/jobs", json=spec, headers=headers)
        return answer.status_code, answer.json()["id"]

    with ThreadPoolExecutor(6) as pool:
        answers = set(pool.map(post, range(6)))
    assert len(answers) == 1
    assert len(service.http.get("/v1/jobs").json()["data"]) == 1


# SQLite has one writer at a time: there a twin waits for its turn and then replays
@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_bad_input_row18_while_the_first_is_still_under_way(service: Service) -> None:
    spec, headers = service.spec(), {"Idempotency-Key": "k-1"}
    with service.store.write() as session:
        held = jobs.submit(session, service.settings.quotas, CALLER, JobSpec.model_validate(spec), "k-1").job.id
        began = time.monotonic()
        answer = service.http.post("/v1/jobs", json=spec, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_in_flight")
        assert time.monotonic() - began >= idempotency.IN_FLIGHT_SECONDS
    assert service.http.post("/v1/jobs", json=spec, headers=headers).json()["id"] == held
