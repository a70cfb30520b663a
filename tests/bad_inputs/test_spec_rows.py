"""Rows 22 to 32 of the bad inputs: what a job and a data set's name may be. Row 26's other half, the training that
clamps, is in tests/unit/worker/training; row 28's, the page that
escapes, in tests/unit/app/pages."""

import pytest

from app.services.dataset_leases import claim_dataset, reject_dataset
from tests.integration.conftest import Service

JSON = {"Content-Type": "application/json"}
BEYOND_ASCII = "ספרות 🙂 <b>&\"'"


def refused(service: Service, param: str, **changes: object) -> dict[str, object]:
    """The problem that a job with these changes gets, which must be a 422 on account of `param`."""
    answer = service.http.post("/v1/jobs", json={"dataset_id": "ds_0"} | SPEC | changes)
    body: dict[str, object] = answer.json()
    assert (answer.status_code, body["param"]) == (422, param), (changes, body)
    return body


SPEC = {"teacher": "resnet18.a1_in1k", "student": "mobilenetv3_small_050"}


def test_bad_input_row22_a_learning_rate_that_is_none(service: Service) -> None:
    for part in ("distill", "reprogram"):
        for number in ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "-0.1", "0", "-0", "1e-400", '"0.1"', "true"):
            raw = f'{{"dataset_id": "x", "teacher": "a", "student": "b", "{part}": {{"learning_rate": {number}}}}}'
            answer = service.http.post("/v1/jobs", content=raw, headers=JSON)
            assert (answer.status_code, answer.json()["param"]) == (422, f"{part}.learning_rate"), number


def test_bad_input_row23_epochs_that_are_none(service: Service) -> None:
    for part, option in (("distill", "image_steps"), ("reprogram", "steps")):
        for number in (0, -1, 2**63, 10**400, "5", 1.5, True, None, [5]):
            refused(service, f"{part}.{option}", **{part: {option: number}})


def test_bad_input_row24_an_unknown_architecture(service: Service) -> None:
    for name in ("../../etc/passwd", "../", "", "a" * 129, "a b", "resnet18/../x", "\x00", "résnet"):
        refused(service, "student", student=name)
    answer = service.http.post("/v1/jobs", json=service.spec(student="mobilenetv3_smal_050"))
    body = answer.json()
    assert (answer.status_code, body["code"], body["param"]) == (422, "unknown_student", "student")
    assert "Did you mean mobilenetv3_small_050" in body["hint"]
    answer = service.http.post("/v1/jobs", json=service.spec(teacher="resnet18.a1"))
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_teacher")


def test_bad_input_row25_an_image_size_that_is_none(service: Service) -> None:
    for size in (0, 7, -32, 100_000, 2**63, 32.5, "32"):
        refused(service, "image_size", image_size=size)


def test_bad_input_row26_a_batch_larger_than_the_split_is_accepted(service: Service) -> None:
    spec = service.spec(distill={"batch_size": 8192}, reprogram={"batch_size": 8192})
    assert service.http.post("/v1/jobs", json=spec).status_code == 202
    refused(service, "distill.batch_size", distill={"batch_size": 8193})


def test_bad_input_row27_a_name_that_cannot_be_kept(service: Service) -> None:
    for name in ("nul\x00", "x" * 257, "x" * 5000):
        answer = service.http.post("/v1/datasets", files={"file": ("a.zip", b"PK")}, data={"name": name})
        assert (answer.status_code, answer.json()["param"]) == (422, "name")
        answer = service.http.post("/v1/keys", json={"name": name})
        assert (answer.status_code, answer.json()["param"]) == (422, "name")
        refused(service, "metadata.owner", metadata={"owner": name})
    refused(service, "metadata.\x00.[key]", metadata={"\x00": "x"})
    assert service.http.get("/v1/datasets").json()["data"] == []
    assert [path for path in service.settings.scratch.rglob("*") if path.is_file()] == []


def test_bad_input_row28_a_name_in_any_script(service: Service) -> None:
    sent = {"file": (f"{BEYOND_ASCII}.zip", b"PK")}
    answer = service.http.post("/v1/datasets", files=sent, data={"name": BEYOND_ASCII})
    assert (answer.status_code, answer.json()["name"]) == (202, BEYOND_ASCII)
    assert service.http.get(answer.headers["Location"]).json()["name"] == BEYOND_ASCII
    job = service.http.post("/v1/jobs", json=service.spec(metadata={"owner": BEYOND_ASCII}))
    assert (job.status_code, job.json()["metadata"]) == (202, {"owner": BEYOND_ASCII})
    found = service.http.get("/v1/jobs", params={"metadata[owner]": BEYOND_ASCII}).json()["data"]
    assert [item["id"] for item in found] == [job.json()["id"]]


def test_bad_input_row29_a_data_set_that_cannot_be_used(service: Service) -> None:
    waiting, rejected, deleted = service.validating_dataset(), service.validating_dataset(), service.ready_dataset()
    with service.store.write() as session:
        claim = claim_dataset(session, rejected, "wk_1")
        assert claim is not None
        reject_dataset(session, claim, {"code": "dataset_rejected", "detail": "This is no archive."})
    assert service.http.delete(f"/v1/datasets/{deleted}").status_code == 204
    for dataset_id, status, code, says in (
        (waiting, 409, "dataset_not_ready", "still being validated"),
        (rejected, 409, "dataset_not_ready", "This is no archive."),
        (deleted, 404, "not_found", "no such data set"),
    ):
        answer = service.http.post("/v1/jobs", json=SPEC | {"dataset_id": dataset_id})
        body = answer.json()
        assert (answer.status_code, body["code"], body["param"]) == (status, code, "dataset_id")
        assert says in body["detail"]


@pytest.mark.parametrize("field", ["teacher", "student"])
def test_bad_input_row30_a_network_by_its_place(service: Service, field: str) -> None:
    for name in ("https://host/x", "file:///x", "/x", "../secret", "hf_hub:a/b", "hf-hub:a/b", "local-dir:x", "a/b"):
        refused(service, field, **{field: name})


def test_bad_input_row31_a_student_larger_than_its_teacher(service: Service) -> None:
    answer = service.http.post("/v1/jobs", json=service.spec(student="resnet50"))
    (warning,) = answer.json()["warnings"]
    assert answer.status_code == 202
    assert "larger than the teacher" in warning


def test_bad_input_row32_more_than_sixteen_students(service: Service) -> None:
    names = [f"net{number}" for number in range(17)]
    refused(service, "students", student=None, students=names)
    refused(service, "students", student=None, students=[])
    answer = service.http.post("/v1/jobs", json=service.spec(student=None, students=names[:16]))
    assert answer.json()["code"] == "unknown_student"  # sixteen are not too many
