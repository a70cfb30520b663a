"""Events, curves, evaluation and files over HTTP."""

import base64
import hashlib
import io
import zipfile

import pytest

from app.domain.manifest import ArtifactFile
from app.domain.model_selection import Candidate, Choice, Constraints, choose
from app.domain.progress import EventLine, MetricLine
from app.domain.states import Stage
from app.services.leases import JobClaim, claim_job, finish_job, record, release_job
from app.storage.keys import artifact_key
from tests.integration.conftest import Service

CONTENT = bytes(range(256)) * 3000  # more than two chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def claimed(service: Service, job_id: str) -> JobClaim:
    with service.store.write() as session:
        claim = claim_job(session, job_id, "wk_1")
    assert claim is not None
    return claim


def point(step: int, stage: Stage = Stage.DISTILL, **values: float) -> MetricLine:
    return MetricLine(stage=stage, step=step, values=values)


@pytest.fixture
def finished(service: Service) -> str:
    """The URL of a job that has published one file."""
    job_id = service.submit()
    claim = claimed(service, job_id)
    service.put_artifact(job_id, claim.epoch, "student.onnx", CONTENT)
    file = ArtifactFile(name="student.onnx", bytes=len(CONTENT), sha256=SHA256, media_type="application/onnx")
    with service.store.write() as session:
        assert finish_job(session, claim, [file], {"student": {"accuracy": 0.9}}, {"accuracy": 0.9})
    return f"/v1/jobs/{job_id}"


class TestChoice:
    def test_is_told_with_the_job(self, service: Service) -> None:
        constraints = Constraints(max_bytes=10)
        job_id = service.submit(constraints=constraints.model_dump())
        assert service.http.get(f"/v1/jobs/{job_id}").json()["choice"] is None
        file = Candidate(student="resnet50", file="student.onnx", accuracy=0.5, latency_ms=None, bytes=15)
        choice = choose([file], constraints)
        assert choice is not None
        claim = claimed(service, job_id)
        with service.store.write() as session:
            assert finish_job(session, claim, [], None, {}, choice=choice.model_dump(mode="json"))
        body = service.http.get(f"/v1/jobs/{job_id}").json()
        assert (body["state"], body["spec"]["constraints"]["max_bytes"]) == ("succeeded", 10)
        assert Choice.model_validate(body["choice"]) == choice
        assert body["choice"]["misses"] == [{"constraint": "max_bytes", "wanted": 10, "got": 15, "by": 5}]

    def test_needs_a_constraint_that_means_something(self, service: Service) -> None:
        for wanted in ({"max_latency_ms": 0}, {"min_accuracy": 95}, {"max_flops": 1}):
            answer = service.http.post("/v1/jobs", json=service.spec(constraints=wanted))
            assert (answer.status_code, answer.json()["param"]) == (422, f"constraints.{next(iter(wanted))}")


class TestEvents:
    def test_come_in_order_and_in_pages(self, service: Service) -> None:
        job_id = service.submit()
        claim = claimed(service, job_id)
        with service.store.write() as session:
            record(session, claim, stage=Stage.PREPARE, events=[EventLine(level="warning", code="w", message="a\x00b")])
        page = service.http.get(f"/v1/jobs/{job_id}/events?limit=3").json()
        assert [(event["seq"], event["kind"], event["code"]) for event in page["data"]] == [
            (1, "state", "submitted"),
            (2, "state", "claimed"),
            (3, "stage", "prepare"),
        ]
        rest = service.http.get(f"/v1/jobs/{job_id}/events?after={page['last_id']}").json()
        assert [(event["kind"], event["message"]) for event in rest["data"]] == [("warning", "ab")]
        assert service.http.get(f"/v1/jobs/{job_id}").json()["warnings"] == ["ab"]
        assert (page["has_more"], rest["has_more"]) == (True, False)

    @pytest.mark.parametrize("after", ["-1", "x", str(2**64)])
    def test_refuse_a_cursor_that_is_none(self, service: Service, after: str) -> None:
        answer = service.http.get(f"/v1/jobs/{service.submit()}/events?after={after}")
        assert (answer.status_code, answer.json()["param"]) == (422, "after")


class TestMetrics:
    def test_a_resumed_attempt_has_the_last_word(self, service: Service) -> None:
        job_id = service.submit()
        first = claimed(service, job_id)
        with service.store.write() as session:
            record(session, first, points=[point(1, Stage.REPROGRAM, loss=3), point(10, loss=2), point(20, loss=1)])
            release_job(session, first, "lost")
        second = claimed(service, job_id)
        with service.store.write() as session:
            record(session, second, points=[point(20, loss=0.5), point(30, loss=0.25, accuracy=0.5)])
        url = f"/v1/jobs/{job_id}/metrics"
        curves = service.http.get(url).json()
        assert [(p["stage"], p["step"], p["values"]["loss"]) for p in curves["points"]] == [
            ("reprogram", 1, 3),
            ("distill", 10, 2),
            ("distill", 20, 0.5),
            ("distill", 30, 0.25),
        ]
        assert [p["step"] for p in service.http.get(f"{url}?stage=distill&from_step=20").json()["points"]] == [20, 30]
        table = service.http.get(f"{url}?from_step=20", headers={"Accept": "text/csv"})
        assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert table.text == "stage,step,accuracy,loss\ndistill,20,,0.5\ndistill,30,0.5,0.25\n"


class TestEvaluation:
    def test_is_there_when_the_job_has_succeeded(self, service: Service, finished: str) -> None:
        assert service.http.get(f"{finished}/evaluation").json() == {"student": {"accuracy": 0.9}}
        answer = service.http.get(f"/v1/jobs/{service.submit()}/evaluation")
        assert answer.status_code == 404
        assert "queued" in answer.json()["detail"]

    def test_of_several_students_is_asked_for_by_name(self, service: Service) -> None:
        names = ["mobilenetv3_small_050", "resnet50"]
        job_id = service.submit(student=None, students=names)
        claim = claimed(service, job_id)
        each = {name: {"student": {"top1": number / 2}} for number, name in enumerate(names)}
        with service.store.write() as session:
            assert finish_job(session, claim, [], each, {})
        url = f"/v1/jobs/{job_id}/evaluation"
        for name in names:
            assert service.http.get(url, params={"student": name}).json() == each[name]
        for params, status, code in (({}, 422, "student_required"), ({"student": "resnet18"}, 404, "not_found")):
            answer = service.http.get(url, params=params)
            assert (answer.status_code, answer.json()["code"], answer.json()["param"]) == (status, code, "student")
            assert all(name in answer.json()["hint"] for name in names)

    def test_of_the_only_student_may_be_asked_for_by_name(self, service: Service, finished: str) -> None:
        url = f"{finished}/evaluation"
        assert service.http.get(f"{url}?student=mobilenetv3_small_050").json() == service.http.get(url).json()
        assert service.http.get(f"{url}?student=resnet50").status_code == 404

    def test_of_the_only_one_of_students_needs_no_name(self, service: Service) -> None:
        job_id = service.submit(student=None, students=["resnet50"])
        claim = claimed(service, job_id)
        with service.store.write() as session:
            assert finish_job(session, claim, [], {"resnet50": {"images": 7}}, {})
        assert service.http.get(f"/v1/jobs/{job_id}/evaluation").json() == {"images": 7}


class TestArtifacts:
    def test_are_listed_only_when_the_job_has_succeeded(self, service: Service, finished: str) -> None:
        (listed,) = service.http.get(f"{finished}/artifacts").json()["data"]
        assert (listed["name"], listed["bytes"], listed["sha256"]) == ("student.onnx", len(CONTENT), SHA256)
        assert service.http.get(f"/v1/jobs/{service.submit()}/artifacts").json()["data"] == []

    def test_come_whole_with_their_digest(self, service: Service, finished: str) -> None:
        answer = service.http.get(f"{finished}/artifacts/student.onnx")
        assert (answer.status_code, answer.content) == (200, CONTENT)
        digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
        assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"
        assert answer.headers["Content-Length"] == str(len(CONTENT))
        assert (
            answer.headers["Content-Disposition"]
            == "attachment; filename=\"student.onnx\"; filename*=UTF-8''student.onnx"
        )
        assert answer.headers["Content-Type"] == "application/onnx"

    def test_head_tells_the_same_without_the_bytes(self, service: Service, finished: str) -> None:
        url = f"{finished}/artifacts/student.onnx"
        get, head = service.http.get(url), service.http.head(url)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("Content-Length", "ETag", "Accept-Ranges", "Repr-Digest", "Content-Type", "Content-Disposition"):
            assert head.headers[name] == get.headers[name]

    @pytest.mark.parametrize(
        ("asked", "start", "end"),
        [
            ("bytes=0-9", 0, 9),
            ("bytes=300000-", 300_000, 767_999),
            ("bytes=-5", 767_995, 767_999),
            ("bytes=5-999999999", 5, 767_999),
        ],
    )
    def test_resume_a_download(self, service: Service, finished: str, asked: str, start: int, end: int) -> None:
        answer = service.http.get(f"{finished}/artifacts/student.onnx", headers={"Range": asked})
        assert (answer.status_code, answer.content) == (206, CONTENT[start : end + 1])
        assert answer.headers["Content-Range"] == f"bytes {start}-{end}/768000"
        assert answer.headers["Content-Length"] == str(end - start + 1)

    @pytest.mark.parametrize(
        "asked",
        [
            pytest.param("bytes=" + "0-1," * 5000 + "0-1", id="bad_input_row20"),
            pytest.param("bytes=768000-", id="bad_input_row21"),
            pytest.param("bytes=-0", id="bad_input_row21_none"),
        ],
    )
    def test_refuse_ranges_outside_with_the_size(self, service: Service, finished: str, asked: str) -> None:
        answer = service.http.get(f"{finished}/artifacts/student.onnx", headers={"Range": asked})
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */768000")
        assert answer.json()["param"] == "Range"

    def test_a_range_of_another_file_gets_the_whole(self, service: Service, finished: str) -> None:
        url = f"{finished}/artifacts/student.onnx"
        for tag, status in ((f'"{SHA256}"', 206), ('"other"', 200)):
            assert service.http.get(url, headers={"Range": "bytes=0-9", "If-Range": tag}).status_code == status

    def test_are_not_sent_twice(self, service: Service, finished: str) -> None:
        answer = service.http.get(f"{finished}/artifacts/student.onnx", headers={"If-None-Match": f'"{SHA256}"'})
        assert (answer.status_code, answer.content) == (304, b"")

    def test_of_several_students_lie_in_folders(self, service: Service) -> None:
        names = ["mobilenetv3_small_050", "resnet50"]
        job_id = service.submit(student=None, students=names)
        claim = claimed(service, job_id)
        files = []
        for name in names:
            service.put_artifact(job_id, claim.epoch, f"{name}/student.onnx", name.encode())
            sha256 = hashlib.sha256(name.encode()).hexdigest()
            files.append(ArtifactFile(name=f"{name}/student.onnx", bytes=len(name), sha256=sha256, media_type="x/y"))
        with service.store.write() as session:
            assert finish_job(session, claim, files, None, {})
        url = f"/v1/jobs/{job_id}/artifacts"
        listed = [item["name"] for item in service.http.get(url).json()["data"]]
        assert listed == [f"{name}/student.onnx" for name in names]
        for name in names:
            for slash in ("/", "%2F"):
                answer = service.http.get(f"{url}/{name}{slash}student.onnx")
                assert (answer.status_code, answer.content) == (200, name.encode())
                assert answer.headers["Content-Disposition"].endswith(f"''{name}-student.onnx")
            assert service.http.head(f"{url}/{name}/student.onnx").headers["Content-Length"] == str(len(name))

    def test_come_all_in_one_zip(self, service: Service) -> None:
        names = ["mobilenetv3_small_050", "resnet50"]
        job_id = service.submit(student=None, students=names)
        claim = claimed(service, job_id)
        contents = {"manifest.json": b"{}"} | {f"{name}/student.onnx": CONTENT + name.encode() for name in names}
        files = []
        for name, content in contents.items():
            service.put_artifact(job_id, claim.epoch, name, content)
            sha256 = hashlib.sha256(content).hexdigest()
            files.append(ArtifactFile(name=name, bytes=len(content), sha256=sha256, media_type="x/y"))
        url = f"/v1/jobs/{job_id}/artifacts.zip"
        assert service.http.get(url).status_code == service.http.head(url).status_code == 404  # not yet
        with service.store.write() as session:
            assert finish_job(session, claim, files, None, {})

        whole, head = service.http.get(url), service.http.head(url)
        assert (whole.status_code, whole.headers["Content-Type"]) == (200, "application/zip")
        assert whole.headers["Content-Disposition"].endswith(f"''{job_id}.zip")
        assert whole.headers["Content-Length"] == head.headers["Content-Length"] == str(len(whole.content))
        with zipfile.ZipFile(io.BytesIO(whole.content)) as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == contents
            assert archive.namelist() == sorted(contents)

        have = whole.content[:800_000]  # of two files one and a bit
        asked = {"Range": f"bytes={len(have)}-", "If-Range": whole.headers["ETag"]}
        rest = service.http.get(url, headers=asked)
        assert (rest.status_code, have + rest.content) == (206, whole.content)
        assert service.http.get(url, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304

        one = service.http.get(url, params={"student": "resnet50"})
        with zipfile.ZipFile(io.BytesIO(one.content)) as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == {
                "student.onnx": contents["resnet50/student.onnx"]
            }
        assert one.headers["ETag"] != whole.headers["ETag"]
        answer = service.http.get(url, params={"student": "resnet18"})
        assert (answer.status_code, answer.json()["param"]) == (404, "student")

    def test_of_the_only_student_are_the_whole_zip(self, service: Service, finished: str) -> None:
        url = f"{finished}/artifacts.zip"
        whole = service.http.get(url)
        assert service.http.get(f"{url}?student=mobilenetv3_small_050").content == whole.content
        service.blobs.delete(artifact_key(finished.rpartition("/")[2], 1, "student.onnx"))
        answer = service.http.get(url)
        assert (answer.status_code, answer.json()["code"]) == (410, "file_lost")

    def test_a_path_leads_nowhere_else(self, service: Service, finished: str) -> None:
        for name in ("../student.onnx", "..%2f..%2fe1%2fstudent.onnx", "%2Fetc%2Fpasswd", "student.onnx/", "", "/"):
            assert service.http.get(f"{finished}/artifacts/{name}").status_code in {404, 405}, name
            assert service.http.get(f"{finished}/artifacts/{name}").content != CONTENT

    def test_unknown_names_are_not_found(self, service: Service, finished: str) -> None:
        for name in ("other", "..%2Fstudent.onnx", "a%00"):
            assert service.http.get(f"{finished}/artifacts/{name}").status_code == 404

    def test_a_file_that_the_storage_lost_is_gone(self, service: Service, finished: str) -> None:
        service.blobs.delete(artifact_key(finished.rpartition("/")[2], 1, "student.onnx"))
        answer = service.http.get(f"{finished}/artifacts/student.onnx")
        assert (answer.status_code, answer.json()["code"]) == (410, "file_lost")


class TestShownInABrowser:
    """The model card, the report and the figures; everything else is saved."""

    @pytest.fixture
    def published(self, service: Service) -> str:
        job_id = service.submit()
        claim = claimed(service, job_id)
        files = []
        for name, media_type in {
            "model_card.html": "text/html",
            "README.md": "text/markdown",
            "pareto.svg": "image/svg+xml",
            "manifest.json": "application/json",
            "student.onnx": "application/onnx",
        }.items():
            service.put_artifact(job_id, claim.epoch, name, b"abc")
            sha256 = hashlib.sha256(b"abc").hexdigest()
            files.append(ArtifactFile(name=name, bytes=3, sha256=sha256, media_type=media_type))
        with service.store.write() as session:
            assert finish_job(session, claim, files, None, {})
        return f"/v1/jobs/{job_id}/artifacts"

    @pytest.mark.parametrize("name", ["model_card.html", "README.md", "pareto.svg", "manifest.json"])
    def test_nothing_in_it_runs(self, service: Service, published: str, name: str) -> None:
        for method in ("GET", "HEAD"):
            headers = service.http.request(method, f"{published}/{name}").headers
            assert headers["Content-Disposition"] == f"inline; filename=\"{name}\"; filename*=UTF-8''{name}"
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "sandbox" in policy and "script" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.parametrize("name", ["model_card.html", "student.onnx"])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_is_saved_on_request(self, service: Service, published: str, name: str, method: str) -> None:
        answer = service.http.request(method, f"{published}/{name}?download=1")
        assert answer.headers["Content-Disposition"].startswith("attachment; ")

    def test_a_student_is_always_saved(self, service: Service, published: str) -> None:
        answer = service.http.get(f"{published}/student.onnx")
        assert answer.headers["Content-Disposition"].startswith("attachment; ")

    @pytest.mark.parametrize("kind", ["json", "html"])
    def test_the_import_report_too(self, service: Service, kind: str) -> None:
        url = f"/v1/datasets/{service.ready_dataset()}/report?format={kind}"
        shown, saved = (service.http.get(f"{url}{more}") for more in ("", "&download=true"))
        assert shown.content == saved.content
        assert shown.headers["Content-Disposition"].startswith("inline; ")
        assert saved.headers["Content-Disposition"].startswith("attachment; filename=")
        assert f'-report.{kind}"' in saved.headers["Content-Disposition"]
