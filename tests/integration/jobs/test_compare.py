"""`GET /v1/jobs/compare`: jobs that have published their answers, over HTTP, on either database."""

import hashlib
import io
import json
from collections.abc import Sequence
from typing import Any

import pytest

from app.db.models import Artifact, Job, utcnow
from app.domain.answers import ANSWERS_NAME, AnsweredImage, Said, write_answers
from app.domain.intervals import mcnemar, newcombe, wilson
from app.domain.manifest import ArtifactFile
from app.domain.progress import MetricLine
from app.domain.states import Stage
from app.services.leases import claim_job, finish_job, record
from tests.integration.conftest import Service

STUDENTS = ["mobilenetv3_small_050", "resnet50"]


def answers(right: str, *, images: Sequence[int] | None = None, labels: str = "cat") -> bytes:
    """A file of answers: for each image `1` where it is right."""
    numbers = images or range(len(right))
    file = io.StringIO(newline="")
    rows = [
        AnsweredImage(
            f"{number:064x}", f"{number}.png", "test", labels, Said(labels if mark == "1" else "?", 0.9), None, None
        )
        for number, mark in zip(numbers, right, strict=True)
    ]
    write_answers(file, rows)
    return file.getvalue().encode()


def evaluation(right: str) -> dict[str, Any]:
    scores = {"top1": right.count("1") / len(right), "macro_f1": 0.5}
    return {"split": "test", "images": len(right), "student": scores, "probe": None, "teacher": {"top1": 0.75}}


def manifest(**more: Any) -> bytes:
    whole = {
        "classes": ["cat", "dog"],
        "preprocessing": None,
        "spec": {},
        "spec_fingerprint": "f",
        "seed": 0,
        "student": None,
        "teacher": None,
        "dataset": {"digest": "d" * 64},
        "versions": {},
        "device": "cpu",
        "metrics": {},
        "seconds": {},
        "parity": {},
        "cpu": "a processor",
        "files": [],
    }
    return json.dumps(whole | more).encode()


def finish(
    service: Service, job_id: str, files: dict[str, bytes], evaluated: dict[str, Any] | None, points: int = 0
) -> None:
    with service.store.write() as session:
        claim = claim_job(session, job_id, "wk_1")
        assert claim is not None
        curve = [MetricLine(stage=Stage.DISTILL, step=step, values={"loss": 1 / step}) for step in range(1, points + 1)]
        assert record(session, claim, stage=Stage.DISTILL, points=curve)
    listed = []
    for name, content in files.items():
        service.put_artifact(job_id, claim.epoch, name, content)
        digest = hashlib.sha256(content).hexdigest()
        listed.append(ArtifactFile(name=name, bytes=len(content), sha256=digest, media_type="text/csv"))
    with service.store.write() as session:
        assert finish_job(session, claim, listed, evaluated, {})


def ended(service: Service, right: str, file: bytes | None = None, **changes: Any) -> str:
    """A job that has succeeded with these answers; without a file, as an earlier version left it."""
    job_id = service.submit(**changes)
    files = {"manifest.json": manifest()} | ({ANSWERS_NAME: file} if file is not None else {})
    finish(service, job_id, files, evaluation(right))
    return job_id


def compare(service: Service, *job_ids: str) -> dict[str, Any]:
    answer = service.http.get("/v1/jobs/compare", params={"ids": ",".join(job_ids)})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


class TestCompare:
    def test_tells_differences_on_the_same_images(self, service: Service) -> None:
        one, other = "1" * 60 + "0" * 20 + "1" * 10 + "0" * 10, "1" * 60 + "1" * 20 + "0" * 10 + "0" * 10
        dataset_id = service.ready_dataset()
        first = ended(service, one, answers(one), dataset_id=dataset_id, distill={"temperature": 4.0})
        second = ended(service, other, answers(other), dataset_id=dataset_id, seed=7)
        body = compare(service, first, second)
        assert [job["id"] for job in body["jobs"]] == [first, second]
        student = body["jobs"][0]["students"][0]
        assert (student["student"], student["top1"], student["teacher_top1"]) == ("mobilenetv3_small_050", 0.7, 0.75)
        assert student["top1_interval"] == pytest.approx(wilson(70, 100))
        (difference,) = body["differences"]
        assert difference["difference"] == pytest.approx(0.1)
        assert (difference["only_first"], difference["only_second"], difference["images"]) == (10, 20, 100)
        assert difference["interval"] == pytest.approx(newcombe(60, 20, 10, 10))
        assert difference["p_value"] == pytest.approx(mcnemar(10, 20))
        assert body["spec_differences"] == [
            {"path": "distill.temperature", "values": {first: 4.0, second: 2.0}},
            {"path": "seed", "values": {first: 0, second: 7}},
        ]

    def test_shows_files_and_bounded_curves(self, service: Service) -> None:
        latency = {"device": "cpu", "threads": 2, "batch": 1, "p50_ms": 1.5, "p95_ms": 2.0, "calls": 9}
        told = manifest(
            measured={"student.onnx": {"bytes": 3, "latencies": [latency | {"batch": 8}, latency]}},
            parity={"student.onnx": {"images": 9, "top1_agreement": 1.0, "max_logit_difference": 1e-6}},
        )
        job_id = service.submit()
        finish(service, job_id, {"manifest.json": told, "student.onnx": b"abc"}, evaluation("10"), points=700)
        (job, _) = compare(service, job_id, service.submit())["jobs"]
        (file,) = job["students"][0]["files"]
        assert (file["name"], file["bytes"], file["latency_ms"], file["threads"]) == ("student.onnx", 3, 1.5, 2)
        assert (file["top1_agreement"], file["max_logit_difference"]) == (1.0, 1e-6)
        assert (job["cpu"], job["dataset_digest"]) == ("a processor", "d" * 64)
        (curve,) = job["curves"]
        assert (curve["stage"], curve["name"], len(curve["steps"])) == ("distill", "loss", 100)
        assert (curve["steps"][0], curve["steps"][-1], curve["values"][-1]) == (1, 700, 1 / 700)

    def test_pairs_students_within_and_between_jobs(self, service: Service) -> None:
        several = service.submit(student=None, students=STUDENTS)
        files = {
            f"{name}/{ANSWERS_NAME}": answers(right) for name, right in zip(STUDENTS, ("1100", "1000"), strict=True)
        }
        each = {name: evaluation(right) for name, right in zip(STUDENTS, ("1100", "1000"), strict=True)}
        finish(service, several, files | {"manifest.json": manifest()}, each)
        single = ended(service, "0001", answers("0001"))
        body = compare(service, several, single)
        assert [student["top1"] for student in body["jobs"][0]["students"]] == [0.5, 0.25]
        pairs = [(one["first"]["student"], one["second"]["job_id"], one["difference"]) for one in body["differences"]]
        assert pairs == [(STUDENTS[0], several, -0.25), (STUDENTS[0], single, -0.25), (STUDENTS[1], single, 0.0)]

    @pytest.mark.parametrize(
        ("other", "reason"),
        [
            (answers("110", images=[0, 1, 3]), "different images"),
            (answers("110", labels="dog"), "different labels"),
            (None, "no answer for each image"),
        ],
    )
    def test_says_why_there_is_no_difference(self, service: Service, other: bytes | None, reason: str) -> None:
        dataset_id = service.ready_dataset()
        jobs = [ended(service, "110", file, dataset_id=dataset_id) for file in (answers("110"), other)]
        body = compare(service, *jobs)
        (difference,) = body["differences"]
        assert difference["difference"] is None and difference["interval"] is None
        assert reason in difference["reason"]
        assert [job["students"][0]["top1"] for job in body["jobs"]] == [pytest.approx(2 / 3)] * 2

    def test_says_so_of_other_data_sets(self, service: Service) -> None:
        jobs = [
            ended(service, "11", answers("11", images=[at, at + 1]), dataset_id=service.ready_dataset())
            for at in (0, 5)
        ]
        assert "different data sets" in compare(service, *jobs)["differences"][0]["reason"]

    def test_goes_without_files_that_are_gone(self, service: Service) -> None:
        lost, deleted, waiting = (
            ended(service, "11", answers("11")),
            ended(service, "10", answers("10")),
            service.submit(),
        )
        for name in (ANSWERS_NAME, "manifest.json"):
            service.blobs.delete(f"jobs/{lost}/e1/{name}")
        with service.store.write() as session:
            session.get_one(Job, deleted).files_deleted_at = utcnow()
            for row in (ANSWERS_NAME, "manifest.json"):
                session.delete(session.get_one(Artifact, (deleted, row)))
        body = compare(service, lost, deleted, waiting)
        reasons = [one["reason"] for one in body["differences"]]
        assert "storage no longer has" in reasons[0]
        assert "were deleted on" in reasons[2]
        assert [job["students"][0]["top1"] for job in body["jobs"]] == [1.0, 0.5, None]
        assert "it has no evaluation" in body["jobs"][2]["students"][0]["note"]

    def test_a_file_that_is_none_is_told_as_lost(self, service: Service) -> None:
        body = compare(service, ended(service, "11", b"image\n"), ended(service, "11", answers("11")))
        assert "storage no longer has" in body["differences"][0]["reason"]

    @pytest.mark.parametrize("ids", ["", "job_1", "{job}", "{job},x", ",".join(["{job}"] * 11), "{job};{job}"])
    def test_refuses_what_are_no_ids(self, service: Service, ids: str) -> None:
        answer = service.http.get("/v1/jobs/compare", params={"ids": ids.format(job=service.submit())})
        assert (answer.status_code, answer.json()["param"]) == (422, "ids")

    def test_names_the_job_that_does_not_exist(self, service: Service) -> None:
        nobody = f"job_{'0' * 26}"
        answer = service.http.get("/v1/jobs/compare", params={"ids": f"{service.submit()},{nobody}"})
        assert (answer.status_code, answer.json()["param"]) == (404, "ids")
        assert nobody in answer.json()["detail"]

    def test_does_not_know_jobs_of_others(self, service: Service) -> None:
        mine, foreign = service.submit(), service.submit()
        with service.store.write() as session:
            session.get_one(Job, foreign).tenant = "someone else"
        answer = service.http.get("/v1/jobs/compare", params={"ids": f"{mine},{foreign}"})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
