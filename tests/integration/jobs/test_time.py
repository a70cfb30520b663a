"""How long jobs will take, and when they begin: what is told of running, queued and future jobs, on both stores."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from app.db.models import Dataset, Job, Worker
from app.domain.spec import JobSpec
from app.domain.speeds import Known, Sample, Work
from app.domain.states import Stage
from app.domain.workload import SMALL_BATCH, training_way
from app.services import catalog, speeds
from app.services.leases import JobClaim, claim_job, fail_job, record
from tests.integration.conftest import CATALOG, Service
from tests.support import client_of

MACHINE = "a processor, 2 threads, torch 2"
HOUR = timedelta(hours=1)


def sample(work: Work, amount: float, subject: str = "", size: int = 0, how: str = "") -> Sample:
    return Sample(work=work, amount=amount, subject=subject, size=size, how=how)


SAMPLES = (
    sample(Work.START, 5),
    sample(Work.DECODE, 0.01),
    sample(Work.FORWARD, 0.02, "resnet18", 224),
    sample(Work.FORWARD, 0.001, "mobilenetv3_small_050", 160),
    sample(Work.TRAIN, 0.004, "mobilenetv3_small_050", 160, "scratch muon 32"),
    sample(Work.LEARN, 0.003, "mobilenetv3_small_050", 160),
    sample(Work.STEP, 0.032, "mobilenetv3_small_050", how="muon"),
    sample(Work.REPROGRAM, 0.01, "probe"),
    sample(Work.REPROGRAM, 0.03, "reprogrammed"),
    sample(Work.EVALUATE, 0.002),
    *(sample(Work.EXPORT, 8, name) for name in ("onnx", "torchscript")),
    *(sample(Work.TIME, 5, name) for name in ("onnx", "torchscript")),
    sample(Work.DESCRIBE, 2),
    sample(Work.RESIDENT, 4e8),
    sample(Work.ACTIVATIONS, 8e6, "mobilenetv3_small_050", 160),
    sample(Work.TAP_WIDTH, 1000, "resnet18"),
)


@pytest.fixture
def measured(service: Service) -> Service:
    """With a worker whose machine is measured."""
    with service.store.write() as session:
        catalog.register(session, "host-a", "training", "cpu", CATALOG, machine=MACHINE, memory_bytes=8 * 10**9)
        speeds.learn(session, MACHINE, SAMPLES, of_jobs=False)
    return service


def run(service: Service, job_id: str, eta: float | None, progress: float = 0.25) -> JobClaim:
    """As a worker would, with this remaining time."""
    with service.store.write() as session:
        claim = claim_job(session, job_id, worker_id(service))
        assert claim is not None
        assert record(session, claim, stage=Stage.DISTILL, progress=progress, eta_seconds=eta)
    return claim


def worker_id(service: Service) -> str:
    with service.store.read() as session:
        (worker,) = (found.worker for found in catalog.queries.trainers(session))
        return worker.id


def later(service: Service, job_id: str, **by: float) -> None:
    """As if so much time had gone by since the job's last word."""
    with service.store.write() as session:
        job = session.get_one(Job, job_id)
        assert job.expected_end is not None
        moved = {"expected_end": job.expected_end - timedelta(**by), "updated_at": job.updated_at}
        session.execute(update(Job).where(Job.id == job_id).values(moved))


class TestRemaining:
    def test_falls_with_the_clock_and_leaves_the_etag_alone(self, service: Service) -> None:
        job_id = service.submit()
        run(service, job_id, 600)
        first = service.http.get(f"/v1/jobs/{job_id}")
        assert 595 < first.json()["eta_seconds"] <= 601
        later(service, job_id, seconds=100)
        second = service.http.get(f"/v1/jobs/{job_id}")
        assert 495 < second.json()["eta_seconds"] <= 501
        assert second.headers["ETag"] == first.headers["ETag"]
        answer = service.http.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": first.headers["ETag"]})
        assert answer.status_code == 304
        end = datetime.fromisoformat(second.json()["estimated_end"])
        assert timedelta(seconds=480) < end - datetime.now(UTC) < timedelta(seconds=510)

    def test_is_unknown_and_not_0_where_a_worker_says_nothing_any_more(self, service: Service) -> None:
        job_id = service.submit()
        claim = run(service, job_id, 60)
        later(service, job_id, seconds=61)
        body = service.http.get(f"/v1/jobs/{job_id}").json()
        assert (body["state"], body["eta_seconds"], body["estimated_end"]) == ("running", None, None)
        with service.store.write() as session:
            assert fail_job(session, claim, {"code": "training_failed", "detail": "It failed."})
        body = service.http.get(f"/v1/jobs/{job_id}").json()
        assert (body["state"], body["eta_seconds"], body["estimated_end"]) == ("failed", 0, None)

    def test_is_unknown_until_the_run_knows_it(self, service: Service) -> None:
        job_id = service.submit()
        assert service.http.get(f"/v1/jobs/{job_id}").json()["eta_seconds"] is None
        run(service, job_id, None)
        assert service.http.get(f"/v1/jobs/{job_id}").json()["eta_seconds"] is None

    def test_is_forgotten_with_the_attempt(self, service: Service) -> None:
        job_id = service.submit()
        run(service, job_id, 60)
        service.http.post(f"/v1/jobs/{job_id}/pause")
        with service.store.write() as session:
            session.execute(update(Job).where(Job.id == job_id).values(state="queued", stop_requested=None))
        assert service.http.get(f"/v1/jobs/{job_id}").json()["eta_seconds"] is None


class TestEstimatedStart:
    def start(self, service: Service, job_id: str) -> timedelta | None:
        told = service.http.get(f"/v1/jobs/{job_id}").json()["estimated_start"]
        return None if told is None else datetime.fromisoformat(told) - datetime.now(UTC)

    def test_follows_the_running_job_and_those_ahead(self, measured: Service) -> None:
        first, second, third = (measured.submit() for _ in range(3))
        run(measured, first, 600)
        expected = measured.http.get(f"/v1/jobs/{second}").json()["estimated_seconds"]
        assert expected > 600  # 150,000 image steps at 4 ms
        start = self.start(measured, second)
        assert start is not None
        assert 590 < start.total_seconds() < 605
        last = self.start(measured, third)
        assert last is not None
        assert last.total_seconds() - start.total_seconds() == pytest.approx(expected, abs=5)
        listed = measured.http.get("/v1/jobs").json()["data"]
        assert [job["estimated_start"] is None for job in listed] == [False, False, True]

    def test_is_now_where_a_worker_is_idle(self, measured: Service) -> None:
        start = self.start(measured, measured.submit())
        assert start is not None
        assert abs(start.total_seconds()) < 5

    def test_is_unknown_without_a_living_worker(self, measured: Service) -> None:
        job_id = measured.submit()
        with measured.store.write() as session:
            session.execute(update(Worker).values(seen_at=datetime.now(UTC) - HOUR))
        assert self.start(measured, job_id) is None

    def test_is_unknown_where_the_running_job_does_not_say_when_it_ends(self, measured: Service) -> None:
        first, second = measured.submit(), measured.submit()
        run(measured, first, None)
        assert self.start(measured, second) is None

    def test_is_unknown_behind_a_job_of_unknown_length(self, measured: Service) -> None:
        first, second = measured.submit(), measured.submit()
        with measured.store.write() as session:
            session.execute(update(Job).where(Job.id == first).values(expected_seconds=None))
        assert self.start(measured, first) is not None
        assert self.start(measured, second) is None


class TestEstimate:
    def test_adds_up_what_was_measured(self, measured: Service) -> None:
        body = measured.http.post("/v1/jobs/estimate", json=measured.spec()).json()
        seconds = body["stages"]["distill"]
        # 150,000 steps, and 20 looks at as many images as there are for want of validation images: the 4 labelled ones;
        # before them an eighth as many views, for the classifier of a student that may have pretrained weights
        assert seconds["expected"] == pytest.approx(150_000 * 0.004 + (20 * 4 + 150_000 // 8) * 0.001, rel=1e-3)
        assert seconds["low"] < seconds["expected"] < seconds["high"]
        assert body["stages"]["reprogram"]["expected"] == pytest.approx(500 * (0.01 + 0.03))
        assert body["seconds"]["expected"] == pytest.approx(
            sum(stage["expected"] for stage in body["stages"].values()), rel=1e-3
        )
        assert (body["measured"], body["machines"], body["cached"], body["limits"]) == (True, [MACHINE], [], [])
        kept = 4e8 + 11_000_000 * 4 + 32 * 8e6 + 1_000_000 * 4 * 5
        assert body["memory_bytes"]["expected"] == pytest.approx(kept)
        assert body["storage_bytes"] == 1_000_000 * 4 * 3
        assert body["cache_bytes"] > 0
        assert body["estimated_start"] is not None
        assert set(body["unknown"]) == {"device_memory_bytes"}

    def test_creates_nothing_and_is_what_a_created_job_says(self, measured: Service) -> None:
        spec = measured.spec()
        told = measured.http.post("/v1/jobs/estimate", json=spec).json()
        assert measured.http.get("/v1/jobs").json()["data"] == []
        created = measured.http.post("/v1/jobs", json=spec).json()
        assert created["estimated_seconds"] == pytest.approx(told["seconds"]["expected"], abs=0.1)

    def test_says_why_a_number_is_unknown(self, service: Service) -> None:
        body = service.http.post("/v1/jobs/estimate", json=service.spec()).json()
        assert (body["seconds"], body["stages"], body["memory_bytes"]) == (None, {}, None)
        assert body["unknown"]["seconds"] == "no worker has told its kind of machine yet"

    def test_a_batch_larger_than_the_data_set_is_the_one_that_there_are_images_for(self, measured: Service) -> None:
        few, many = (measured.spec(distill={"batch_size": size}) for size in (SMALL_BATCH, 8192))
        told = [measured.http.post("/v1/jobs/estimate", json=spec).json() for spec in (few, many)]
        assert told[0]["seconds"] is not None
        assert told[0]["stages"] == told[1]["stages"] and told[0]["memory_bytes"] == told[1]["memory_bytes"]

    def test_says_which_format_nobody_has_written(self, measured: Service) -> None:
        spec = measured.spec(export={"formats": ["onnx", "onnx_int8"]})
        body = measured.http.post("/v1/jobs/estimate", json=spec).json()
        assert body["stages"]["export"] is None
        assert body["unknown"]["stages.export"] == "no worker has measured 'export' of 'onnx_int8' yet"
        assert body["seconds"] is None

    def test_several_teachers_take_the_time_of_each(self, measured: Service) -> None:
        one, other = "resnet18.a1_in1k", "vit_tiny_patch16_224.augreg_in21k"
        named = [
            {"teacher": None, "method": "scratch"},
            {"teacher": one},
            {"teacher": other},
            {"teacher": None, "teachers": [one, other]},
        ]
        told = [measured.http.post("/v1/jobs/estimate", json=measured.spec(**each)).json()["stages"] for each in named]
        without, first, second, both = (stages["prepare"]["expected"] for stages in told)
        assert both - without == pytest.approx((first - without) + (second - without)) and first > without
        trained = [stages["reprogram"]["expected"] for stages in told[1:]]
        assert trained == pytest.approx([trained[0], trained[0], 3 * trained[0]])  # each, and all together

    def test_interpolates_another_student_with_a_wider_range(self, measured: Service) -> None:
        body = measured.http.post("/v1/jobs/estimate", json=measured.spec(student="resnet50")).json()
        seconds = body["stages"]["distill"]
        assert not body["measured"]
        assert seconds["expected"] == pytest.approx(23 * 600, rel=0.05)
        assert seconds["high"] / seconds["low"] > 2

    @pytest.mark.parametrize(
        ("change", "status", "code"),
        [
            ({"student": "resnet5"}, 422, "unknown_student"),
            ({"dataset_id": "ds_nonsense"}, 404, "not_found"),
            ({"method": "kd", "distill": {"align_weight": 0.5}}, 422, "invalid_spec"),
            ({"image_size": 1}, 422, "invalid_request"),
        ],
    )
    def test_refuses_what_a_job_is_refused_for(
        self, measured: Service, change: dict[str, object], status: int, code: str
    ) -> None:
        spec = measured.spec(**change)
        for path in ("/v1/jobs/estimate", "/v1/jobs"):
            answer = measured.http.post(path, json=spec)
            assert (answer.status_code, answer.json()["code"]) == (status, code), path

    def test_says_which_limits_it_would_run_into(self, measured: Service) -> None:
        spec = measured.spec(distill={"image_steps": 100_000_000})
        body = measured.http.post("/v1/jobs/estimate", json=spec).json()
        assert body["limits"] == []
        (warning,) = body["warnings"]
        assert "about 5 days on the workers that are here" in warning
        big = measured.spec(distill={"batch_size": 2048})
        few, small = (
            measured.http.post("/v1/jobs/estimate", json=wanted).json()
            for wanted in (big, measured.spec(distill={"batch_size": 64}))
        )
        assert (few["limits"], few["memory_bytes"]) == ([], small["memory_bytes"])  # there are no 2048 images
        with measured.store.write() as session:
            counts = {"train": 2048, "val": 0, "test": 0, "unlabelled": 0}
            session.execute(update(Dataset).values(summary={"images": 2048, "class_count": 2, "counts": counts}))
        limits = measured.http.post("/v1/jobs/estimate", json=big).json()["limits"]
        assert [limit["setting"] for limit in limits] == ["memory"]
        assert "a worker has 8.0 GB" in limits[0]["detail"]


class TestTooLong:
    SPEC = {"distill": {"image_steps": 100_000_000}}

    def test_a_job_that_takes_days_is_accepted_with_a_warning(self, measured: Service) -> None:
        answer = measured.http.post("/v1/jobs", json=measured.spec(**self.SPEC))
        body = answer.json()
        assert answer.status_code == 202
        assert "would take about 5 days" in body["warnings"][0]
        events = measured.http.get(f"/v1/jobs/{body['id']}/events").json()["data"]
        assert [(event["kind"], event["code"]) for event in events] == [
            ("state", "submitted"),
            ("warning", "takes_long"),
        ]

    def test_the_operator_may_refuse_it(self, measured: Service) -> None:
        settings = measured.settings.model_copy(update={"max_job_hours": 24.0})
        spec = measured.spec(**self.SPEC)
        with client_of(settings) as http:
            answer = http.post("/v1/jobs", json=spec)
            assert (answer.status_code, answer.json()["code"]) == (422, "job_too_long")
            assert "about 5 days" in answer.json()["detail"]
            assert http.get("/v1/jobs").json()["data"] == []
            limits = http.post("/v1/jobs/estimate", json=spec).json()["limits"]
            assert [limit["setting"] for limit in limits] == ["TDMR_MAX_JOB_HOURS"]
            assert http.post("/v1/jobs", json=measured.spec()).status_code == 202

    def test_a_job_whose_time_nobody_knows_is_accepted_without(self, service: Service) -> None:
        assert service.http.post("/v1/jobs", json=service.spec(**self.SPEC)).json()["warnings"] == []


class TestLearn:
    def test_jobs_replace_what_was_measured_in_idle_time(self, service: Service) -> None:
        def learn(amount: float, *, of_jobs: bool) -> Known:
            with service.store.write() as session:
                speeds.learn(session, MACHINE, [sample(Work.DECODE, amount)], of_jobs=of_jobs)
            with service.store.read() as session:
                (known,) = speeds.known(session, MACHINE)
            return known

        assert learn(1, of_jobs=False).amounts == (1,)
        assert learn(2, of_jobs=True).amounts == (2,)
        assert learn(9, of_jobs=False).amounts == (2,)
        for amount in range(3, 9):
            known = learn(amount, of_jobs=True)
        assert known.amounts == (4, 5, 6, 7, 8)

    def test_an_estimate_follows_what_was_learned(self, measured: Service) -> None:
        spec = measured.spec(pretrained=False)
        before = measured.http.post("/v1/jobs/estimate", json=spec).json()["stages"]["distill"]["expected"]
        how = training_way(JobSpec(**spec), training=4)  # type: ignore[arg-type]
        with measured.store.write() as session:
            told = [sample(Work.TRAIN, 0.008, "mobilenetv3_small_050", 160, how)]
            speeds.learn(session, MACHINE, told, of_jobs=True)
        after = measured.http.post("/v1/jobs/estimate", json=spec).json()["stages"]["distill"]["expected"]
        assert after == pytest.approx(2 * before, rel=0.01)
