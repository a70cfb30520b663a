"""Jobs over HTTP."""

import pytest

from app.db.models import Job
from app.domain.methods import METHODS, MethodInfo
from app.domain.progress import MetricLine
from app.domain.states import JobState, Stage, StopRequest
from app.services import catalog
from app.services.leases import JOBS, claim_job, fail_job, record
from tests.integration.conftest import CATALOG, Service

TEACHERS = ["resnet18.a1_in1k", "vit_tiny_patch16_224.augreg_in21k"]


class TestSubmit:
    def test_accepts_three_fields_and_fills_in_the_rest(self, service: Service) -> None:
        spec = service.spec()
        answer = service.http.post("/v1/jobs", json=spec)
        body = answer.json()
        assert answer.status_code == 202
        assert answer.headers["Location"] == f"/v1/jobs/{body['id']}"
        assert (body["state"], body["stage"], body["progress"], body["queue"]) == (
            "queued",
            None,
            0,
            {"position": 1, "reason": "waiting for a worker"},
        )
        assert body["spec"]["image_size"] == 160
        assert body["spec"]["dataset_id"] == body["dataset_id"] == spec["dataset_id"]

    def test_nudges_a_training_worker_with_the_id_alone(self, service: Service) -> None:
        service.submit()
        (message,) = service.messages(1)
        assert message.name.endswith("training.msg")

    @pytest.mark.parametrize("dataset_id", ["ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC", "nonsense", "ds_\x00"])
    def test_does_not_find_another_data_set(self, service: Service, dataset_id: str) -> None:
        answer = service.http.post("/v1/jobs", json=service.spec(dataset_id=dataset_id))
        assert (answer.status_code, answer.json()["param"]) == (404, "dataset_id")

    def test_takes_several_students_and_shows_them_as_asked(self, service: Service) -> None:
        names = ["mobilenetv3_small_050", "resnet50"]
        body = service.http.post("/v1/jobs", json=service.spec(student=None, students=names)).json()
        assert (body["spec"]["student"], body["spec"]["students"]) == (None, names)
        (warning,) = body["warnings"]
        assert "resnet50" in warning

    def test_names_the_student_of_several_that_nobody_offers(self, service: Service) -> None:
        names = ["mobilenetv3_small_050", "resnet5"]
        answer = service.http.post("/v1/jobs", json=service.spec(student=None, students=names))
        body = answer.json()
        assert (answer.status_code, body["code"], body["param"]) == (422, "unknown_student", "students")
        assert "'resnet5'" in body["detail"]
        assert "Did you mean resnet50" in body["hint"]

    @pytest.mark.parametrize(
        ("students", "says"),
        [
            ({"student": "a", "students": ["b"]}, "not both"),
            ({"student": None}, "needs a student"),
            ({"student": None, "students": ["resnet50", "resnet50"]}, "twice"),
        ],
    )
    def test_wants_one_way_of_naming_students(self, service: Service, students: dict[str, object], says: str) -> None:
        answer = service.http.post("/v1/jobs", json=service.spec(**students))
        assert answer.status_code == 422
        assert says in answer.json()["detail"]

    def test_takes_several_teachers_and_shows_them_as_asked(self, service: Service) -> None:
        body = service.http.post("/v1/jobs", json=service.spec(teacher=None, teachers=TEACHERS)).json()
        assert (body["spec"]["teacher"], body["spec"]["teachers"]) == (None, TEACHERS)
        shown = service.http.get("/jobs", headers={"Accept": "text/html"}).text
        assert "resnet18.a1_in1k" in shown and "vit_tiny_patch16_224.augreg_in21k" in shown

    @pytest.mark.parametrize(
        ("change", "param", "says"),
        [
            ({"teacher": "resnet18.a1_in1k", "teachers": ["resnet18.a1_in1k"]}, "", "not both"),
            ({"teachers": ["resnet18.a1_in1k", "resnet18.a1_in1k"]}, "", "twice"),
            ({"teachers": []}, "teachers", "at least 1"),
            ({"teachers": [f"teacher{number}" for number in range(5)]}, "teachers", "at most 4"),
            ({"teachers": ["resnet18.a1_in1k", "../x"]}, "teachers.1", ""),
            ({"teachers": ["resnet18.a1_in1k", "resnet18.a1"]}, "teachers", "'resnet18.a1'"),
            ({"teachers": TEACHERS, "method": "fitnet"}, "", "copies the features of one teacher"),
        ],
    )
    def test_says_what_is_wrong_with_several_teachers(
        self, service: Service, change: dict[str, object], param: str, says: str
    ) -> None:
        answer = service.http.post("/v1/jobs", json=service.spec(**{"teacher": None} | change))
        body = answer.json()
        assert (answer.status_code, body.get("param", "")) == (422, param), body
        assert says in body["detail"]

    def test_probe_needs_no_student(self, service: Service) -> None:
        answer = service.http.post("/v1/jobs", json=service.spec(student=None, method="probe"))
        assert (answer.status_code, answer.json()["warnings"]) == (202, [])
        answer = service.http.post("/v1/jobs", json=service.spec(method="probe"))
        assert "trains no student" in answer.json()["warnings"][0]

    @pytest.mark.parametrize("how", [{"pretrained": True}, {"method": "finetune"}])
    def test_a_student_starts_from_weights_that_some_worker_has(self, service: Service, how: dict[str, object]) -> None:
        for student in ("vit_tiny_patch16_224", "vit_tiny_patch16_224.augreg_in21k"):
            answer = service.http.post("/v1/jobs", json=service.spec(student=student, **how))
            assert answer.status_code == 202, answer.text
        for student in ("resnet50", "vit_tiny_patch16_224.mae"):
            answer = service.http.post("/v1/jobs", json=service.spec(student=student, **how))
            body = answer.json()
            assert (answer.status_code, body["code"], body["param"]) == (422, "unknown_student", "student")
            assert "no worker has pretrained weights" in body["detail"].lower()
        # without them a tag says nothing
        answer = service.http.post("/v1/jobs", json=service.spec(student="vit_tiny_patch16_224.mae", pretrained=False))
        assert "only with 'pretrained'" in answer.json()["warnings"][0]

    def test_a_student_starts_from_weights_if_there_are_some(self, service: Service) -> None:
        for student in ("mobilenetv3_small_075", "vit_tiny_patch16_224"):
            answer = service.http.post("/v1/jobs", json=service.spec(student=student))
            assert (answer.status_code, answer.json()["warnings"]) == (202, []), answer.text
            assert answer.json()["spec"]["pretrained"] == "auto"
        answer = service.http.post("/v1/jobs", json=service.spec(student="resnet50.named"))
        assert (answer.status_code, answer.json()["code"]) == (422, "unknown_student")

    def test_scratch_needs_no_teacher(self, service: Service) -> None:
        spec = service.spec(method="scratch")
        del spec["teacher"]
        assert service.http.post("/v1/jobs", json=spec).status_code == 202

    @pytest.mark.parametrize(
        ("change", "param"),
        [
            ({"distil": {}}, "distil"),
            ({"distill": {"learning_rate": 0}}, "distill.learning_rate"),
            ({"distill": {"image_steps": 2**63}}, "distill.image_steps"),
            ({"image_size": 7}, "image_size"),
            ({"seed": -1}, "seed"),
            ({"metadata": {"k": "a\x00"}}, "metadata.k"),
            ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
            ({"method": "magic"}, "method"),
        ],
    )
    def test_says_where_a_spec_is_wrong(self, service: Service, change: dict[str, object], param: str) -> None:
        answer = service.http.post("/v1/jobs", json=service.spec(**change))
        body = answer.json()
        assert (answer.status_code, body["param"], body["errors"][0]["param"]) == (422, param, param)

    def test_refuses_an_option_that_the_method_does_not_read(self, service: Service) -> None:
        spec = service.spec(method="kd", distill={"align_weight": 0.5})
        body = service.http.post("/v1/jobs", json=spec).json()
        assert (body["status"], body["code"], body["param"]) == (422, "invalid_spec", "distill.align_weight")
        assert body["detail"] == "'align_weight' is not read by method 'kd'."
        assert body["hint"].endswith("a method that reads it: tdmr.")

    def test_retries_a_job_that_an_earlier_release_accepted_with_one(self, service: Service) -> None:
        job_id = service.submit(method="kd")
        service.http.post(f"/v1/jobs/{job_id}/cancel")
        with service.store.write() as session:
            job = session.get_one(Job, job_id)
            job.spec = job.spec | {"distill": job.spec["distill"] | {"align_weight": 0.5}}
        assert service.http.post(f"/v1/jobs/{job_id}/retry").status_code == 202

    def test_takes_a_method_once_a_worker_has_announced_it(self, service: Service) -> None:
        spec = service.spec(method="novel", distill={"warmth": 0.5})
        answer = service.http.post("/v1/jobs", json=spec)
        assert (answer.status_code, answer.json()["param"]) == (422, "method")
        options = {"warmth": {"type": "number", "default": 0.1, "minimum": 0, "maximum": 1}}
        novel = MethodInfo(name="novel", summary="Something new.", options=options)
        with service.store.write() as session:
            catalog.register(session, "host-b", "training", "cpu", CATALOG.model_copy(update={"methods": (novel,)}))
        METHODS.pop("novel")  # the service is another process than the worker
        try:
            assert service.http.post("/v1/jobs", json=spec).status_code == 202
            answer = service.http.post("/v1/jobs", json=spec | {"distill": {"warmth": 2}})
            assert (answer.status_code, answer.json()["param"]) == (422, "distill.warmth")
        finally:
            METHODS.pop("novel", None)

    def test_waits_for_the_first_worker(self, service: Service) -> None:
        spec = service.spec()
        with service.store.write() as session:
            from sqlalchemy import delete

            from app.db.models import Worker

            session.execute(delete(Worker))
        answer = service.http.post("/v1/jobs", json=spec)
        assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "no_worker_yet", "5")
        assert service.http.get("/v1/teachers").status_code == 503


class TestIdempotency:
    @pytest.mark.parametrize("key", ["", "with space", "x" * 256])
    def test_a_key_has_a_form(self, service: Service, key: str) -> None:
        answer = service.http.post("/v1/jobs", json=service.spec(), headers={"Idempotency-Key": key})
        assert (answer.status_code, answer.json()["param"]) == (422, "Idempotency-Key")


class TestRead:
    def test_positions_follow_priority_then_age(self, service: Service) -> None:
        low, urgent, normal = service.submit(priority=-1), service.submit(priority=5), service.submit()
        listed = {job["id"]: job["queue"]["position"] for job in service.http.get("/v1/jobs").json()["data"]}
        assert listed == {urgent: 1, normal: 2, low: 3}
        assert service.http.get(f"/v1/jobs/{low}").json()["queue"] == {"position": 3, "reason": "2 ahead"}

    def test_filters_by_state_and_metadata(self, service: Service) -> None:
        odd = 'a "key".[0]'
        ann = service.submit(metadata={"owner": "ann", odd: "1"})
        bob = service.submit(metadata={"owner": "bob", odd: "1"})
        service.http.post(f"/v1/jobs/{bob}/cancel")

        def ids(**params: str) -> list[str]:
            return [job["id"] for job in service.http.get("/v1/jobs", params=params).json()["data"]]

        assert ids(**{"metadata[owner]": "ann"}) == [ann]
        assert ids(**{f"metadata[{odd}]": "1"}) == [bob, ann]
        assert ids(**{f"metadata[{odd}]": "1", "state": "cancelled"}) == [bob]
        assert ids(**{"metadata[owner]": "ann", f"metadata[{odd}]": "2"}) == []

    @pytest.mark.parametrize(
        ("query", "param"),
        [
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=x", "limit"),
            ("after=nonsense", "after"),
            ("after=job_%00", "after"),
            ("state=lost", "state.0"),
            ("metadata[k]=%00", "metadata.k"),
        ],
    )
    def test_refuses_parameters_that_make_no_sense(self, service: Service, query: str, param: str) -> None:
        answer = service.http.get(f"/v1/jobs?{query}")
        assert (answer.status_code, answer.json()["param"]) == (422, param)

    def test_pages(self, service: Service) -> None:
        spec = service.spec()
        ids = [service.http.post("/v1/jobs", json=spec).json()["id"] for _ in range(3)][::-1]
        page = service.http.get("/v1/jobs?limit=2").json()
        assert [job["id"] for job in page["data"]] == ids[:2]
        rest = service.http.get(f"/v1/jobs?limit=2&after={page['last_id']}").json()
        assert ([job["id"] for job in rest["data"]], rest["has_more"]) == (ids[2:], False)

    def test_answers_304_until_there_is_news(self, service: Service) -> None:
        job_id = service.submit()
        etag = service.http.get(f"/v1/jobs/{job_id}").headers["ETag"]
        again = service.http.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": etag})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
        with service.store.write() as session:
            claim = claim_job(session, job_id, "wk_1")
            assert claim is not None
        news = service.http.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": etag})
        assert (news.status_code, news.json()["state"]) == (200, "running")
        with service.store.write() as session:
            assert JOBS.beat(session, claim).alive
        etag = news.headers["ETag"]
        assert service.http.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": etag}).status_code == 304

    def test_a_better_place_in_the_queue_is_news(self, service: Service) -> None:
        first, second = service.submit(), service.submit()
        etag = service.http.get(f"/v1/jobs/{second}").headers["ETag"]
        assert service.http.get(f"/v1/jobs/{second}", headers={"If-None-Match": etag}).status_code == 304
        service.http.post(f"/v1/jobs/{first}/cancel")
        news = service.http.get(f"/v1/jobs/{second}", headers={"If-None-Match": etag})
        assert (news.status_code, news.json()["queue"]["position"]) == (200, 1)

    def test_shows_how_it_goes(self, service: Service) -> None:
        job_id = service.submit()
        with service.store.write() as session:
            claim = claim_job(session, job_id, "wk_1")
            assert claim is not None
            point = MetricLine(stage=Stage.DISTILL, step=10, values={"loss": 0.5})
            record(session, claim, stage=Stage.DISTILL, progress=0.4, eta_seconds=12.0, points=[point])
        body = service.http.get(f"/v1/jobs/{job_id}").json()
        assert (body["stage"], body["progress"]) == ("distill", 0.4)
        assert (body["metrics"], body["queue"]) == ({"loss": 0.5}, None)
        with service.store.write() as session:
            fail_job(session, claim, {"code": "non_finite_loss", "detail": "NaN at step 11", "hint": "Lower it."})
        body = service.http.get(f"/v1/jobs/{job_id}").json()
        assert (body["state"], body["error"]["code"], body["eta_seconds"]) == ("failed", "non_finite_loss", 0)
        assert body["finished_at"] is not None


class TestCancel:
    def test_ends_a_queued_job_at_once(self, service: Service) -> None:
        job_id = service.submit()
        answer = service.http.post(f"/v1/jobs/{job_id}/cancel")
        assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
        with service.store.write() as session:
            assert claim_job(session, job_id, "wk_1") is None

    def test_asks_the_worker_of_a_running_job(self, service: Service) -> None:
        job_id = service.submit()
        with service.store.write() as session:
            claim = claim_job(session, job_id, "wk_1")
            assert claim is not None
        for _ in range(2):
            answer = service.http.post(f"/v1/jobs/{job_id}/cancel")
            assert (answer.status_code, answer.json()["state"]) == (202, "running")
            assert answer.json()["cancel_requested"] is True
        with service.store.write() as session:
            assert JOBS.beat(session, claim).stop_requested == StopRequest.CANCEL
        codes = [event["code"] for event in service.http.get(f"/v1/jobs/{job_id}/events").json()["data"]]
        assert codes == ["submitted", "claimed", "cancel_requested"]

    def test_comes_too_late_for_a_job_that_has_ended(self, service: Service) -> None:
        job_id = service.submit()
        service.http.post(f"/v1/jobs/{job_id}/cancel")
        answer = service.http.post(f"/v1/jobs/{job_id}/cancel")
        assert (answer.status_code, answer.json()["code"]) == (409, "state_conflict")
        assert JobState.CANCELLED in answer.json()["detail"]


class TestCatalogue:
    def test_lists_by_name_with_search_and_cursor(self, service: Service) -> None:
        page = service.http.get("/v1/students?limit=2").json()
        assert [card["name"] for card in page["data"]] == ["mobilenetv3_small_050", "mobilenetv3_small_075"]
        rest = service.http.get(f"/v1/students?limit=2&after={page['last_id']}").json()
        names = ["resnet50", "vit_tiny_patch16_224"]
        assert ([card["name"] for card in rest["data"]], rest["has_more"]) == (names, False)
        found = service.http.get("/v1/teachers?q=VISION").json()["data"]
        assert [card["architecture"] for card in found] == ["vit_tiny_patch16_224"]
