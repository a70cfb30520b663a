"""Jobs through the client: followed and downloaded to the end, whatever breaks in between."""

import asyncio
import io
import json
import threading
from pathlib import Path

import pytest

from benchmarks.service.broken_line import BrokenLine
from tdmr import AsyncTdmr, JobEnded, Tdmr, models, problems
from tdmr._sync._downloading import download
from tdmr.errors import DownloadFailed, TimedOut
from tdmr.progress import Lines, Silent
from tdmr.updates import EndUpdate, EventUpdate, MetricsUpdate, ProgressUpdate, Update
from tests.integration.client.conftest import Front, publish
from tests.integration.conftest import Service
from tests.integration.jobs.test_live import claimed, finish, tell

FILES = {
    "manifest.json": json.dumps({"classes": ["0", "1"], "metrics": {}, "spec": {"student": "resnet50"}}).encode(),
    "student.onnx": bytes(range(256)) * 10_000,
    "figures/curves.svg": b"<svg/>",
    "empty.txt": b"",
}


class TestCreate:
    def test_sends_only_what_is_given(self, service: Service, client: Tdmr) -> None:
        dataset = client.datasets.get(service.ready_dataset())
        job = client.jobs.create(
            dataset=dataset,
            teacher="resnet18.a1_in1k",
            students=["resnet50", "mobilenetv3_small_050"],
            image_size=32,
            distill=models.DistillConfig(image_steps=1000),
            views={"hflip": False},
            constraints={"max_bytes": 10**6},
            metadata={"owner": "ann"},
        )

        assert isinstance(job.spec, models.JobSpec)
        assert (job.dataset_id, job.state) == (dataset.id, "queued")
        assert (job.spec.distill.image_steps, job.spec.views.hflip, job.spec.image_size) == (1000, False, 32)
        assert job.spec.students == ["resnet50", "mobilenetv3_small_050"]
        assert job.metadata == {"owner": "ann"}
        assert "queued" in repr(job) and "resnet18.a1_in1k" in job._repr_html_()

    def test_takes_what_a_newer_service_may_take(self, service: Service, client: Tdmr) -> None:
        with pytest.raises(problems.InvalidRequest, match="turbo"):
            client.jobs.create(dataset=service.ready_dataset(), student="resnet50", method="scratch", turbo=True)

    def test_makes_one_job_of_one_key(self, service: Service, client: Tdmr) -> None:
        spec = {"dataset": service.ready_dataset(), "student": "resnet50", "method": "scratch"}
        first, second = (client.jobs.create(**spec, idempotency_key="mine") for _ in range(2))  # type: ignore[arg-type]
        assert first.id == second.id


class TestActions:
    def test_change_the_job_in_hand(self, service: Service, client: Tdmr) -> None:
        job = client.jobs.get(service.submit())

        assert job.pause().state == "paused" == job.state
        assert job.resume().state == "queued"
        assert job.cancel().state == "cancelled"
        with pytest.raises(problems.StateConflict):
            job.pause()
        again = job.retry()
        assert (again.retry_of, again.state) == (job.id, "queued")
        job.delete()
        with pytest.raises(problems.NotFound):
            job.refresh()


class Listener(threading.Thread):
    """Follows a job to its end."""

    def __init__(self, client: Tdmr, job_id: str) -> None:
        super().__init__()
        self.heard: list[Update] = []
        self.job = client.jobs.get(job_id)
        self.start()

    def run(self) -> None:
        for update in self.job.stream():
            self.heard.append(update)

    def wait_for(self, kind: type[Update], count: int) -> None:
        while sum(isinstance(one, kind) for one in list(self.heard)) < count:
            self.join(0.02)
            assert self.is_alive()


class TestStream:
    def test_tells_everything_once_through_a_restart_of_the_service(
        self, service: Service, front: Front, client: Tdmr
    ) -> None:
        job_id = service.submit()
        listener = Listener(client, job_id)
        claim = claimed(service.store, job_id)
        tell(service.store, claim, 1)
        listener.wait_for(MetricsUpdate, 1)
        with front.away():
            tell(service.store, claim, 2)
        tell(service.store, claim, 3)
        listener.wait_for(MetricsUpdate, 3)
        finish(service.store, claim)
        listener.join()

        events = [one for one in listener.heard if isinstance(one, EventUpdate)]
        assert [one.seq for one in events] == list(range(1, len(events) + 1))
        points = [point for one in listener.heard if isinstance(one, MetricsUpdate) for point in one.points]
        assert points == client.jobs.curves(job_id)
        assert [point.step for point in points] == [1, 2, 3]
        assert isinstance(listener.heard[-1], EndUpdate)
        assert any(isinstance(one, ProgressUpdate) for one in listener.heard)
        assert (listener.job.state, listener.job.metrics) == ("succeeded", {"student_accuracy": 0.9, "loss": 1 / 3})
        assert str(listener.heard[-1]) == "succeeded" and "distill step 3: loss 0.3333" in map(str, listener.heard)

    def test_goes_on_over_a_line_that_breaks(self, service: Service, front: Front) -> None:
        job_id = service.submit()
        claim = claimed(service.store, job_id)
        for step in range(1, 6):
            tell(service.store, claim, step)
        finish(service.store, claim)
        cuts = [700, 900, 1100, 1300]
        with BrokenLine("127.0.0.1", front.port, cuts) as line, Tdmr(f"http://127.0.0.1:{line.port}") as client:
            heard = list(client.jobs.stream(job_id))
            assert line.breaks == len(cuts)

        assert [one.seq for one in heard if isinstance(one, EventUpdate)] == list(range(1, 10))
        assert [point.step for one in heard if isinstance(one, MetricsUpdate) for point in one.points] == [
            1,
            2,
            3,
            4,
            5,
        ]

    def test_of_no_job_is_an_error(self, client: Tdmr, service: Service) -> None:
        with pytest.raises(problems.NotFound):
            list(client.jobs.stream("job_0"))

    def test_of_the_asynchronous_twin(self, service: Service, front: Front, surroundings: None) -> None:
        job_id = service.submit()
        claim = claimed(service.store, job_id)
        tell(service.store, claim, 1)
        finish(service.store, claim)

        async def use() -> list[Update]:
            async with AsyncTdmr(front.url) as client:
                job = await client.jobs.get(job_id)
                return [update async for update in job.stream()]

        heard = asyncio.run(use())
        assert isinstance(heard[-1], EndUpdate) and any(isinstance(one, MetricsUpdate) for one in heard)


class TestWait:
    def test_shows_a_line_for_each_stage_and_ends_with_success(self, service: Service, client: Tdmr) -> None:
        job = client.jobs.get(service.submit())
        claim = claimed(service.store, job.id)
        tell(service.store, claim, 1)
        tell(service.store, claim, 5)
        finish(service.store, claim)
        log = io.StringIO()

        assert job.wait(progress=Lines(log)).state == "succeeded"
        assert log.getvalue().endswith("Succeeded 100%  student accuracy 90.0%\n")

    def test_raises_why_it_failed(self, service: Service, client: Tdmr) -> None:
        job = client.jobs.get(service.submit())
        job.cancel()
        with pytest.raises(JobEnded, match="It is cancelled") as ended:
            client.jobs.get(job.id).wait()
        assert ended.value.state == "cancelled"

    def test_takes_no_longer_than_it_may(self, service: Service, client: Tdmr) -> None:
        with pytest.raises(TimedOut, match="goes on"):
            client.jobs.get(service.submit()).wait(timeout=0.5)


class TestDownload:
    def test_writes_every_file_and_sends_none_twice(self, service: Service, client: Tdmr, tmp_path: Path) -> None:
        job = client.jobs.get(service.submit())
        publish(service, job.id, FILES)

        model = job.download(tmp_path / "model", progress=False)

        assert model.classes == ("0", "1")
        for name, content in FILES.items():
            assert (tmp_path / "model" / name).read_bytes() == content
        assert not list((tmp_path / "model").rglob("*.part"))
        log = io.StringIO()
        job.download(tmp_path / "model", progress=Lines(log))
        assert log.getvalue().count("already here") == len(FILES)

    def test_goes_on_over_a_line_that_breaks(self, service: Service, front: Front, tmp_path: Path) -> None:
        job_id = service.submit()
        publish(service, job_id, FILES)
        cuts = [900_000, 700_000]
        with BrokenLine("127.0.0.1", front.port, cuts) as line, Tdmr(f"http://127.0.0.1:{line.port}") as client:
            client.jobs.get(job_id).download(tmp_path, progress=False)
            assert line.breaks == len(cuts)
        assert (tmp_path / "student.onnx").read_bytes() == FILES["student.onnx"]

    def test_goes_on_with_what_another_process_left(self, service: Service, client: Tdmr, tmp_path: Path) -> None:
        job = client.jobs.get(service.submit())
        publish(service, job.id, FILES)
        (tmp_path / "student.onnx.part").write_bytes(FILES["student.onnx"][:1_280_000])
        log = io.StringIO()

        job.download(tmp_path, progress=Lines(log))

        assert "Downloading student.onnx  50%" in log.getvalue()
        assert (tmp_path / "student.onnx").read_bytes() == FILES["student.onnx"]

    def test_replaces_what_is_not_that_file(self, service: Service, client: Tdmr, tmp_path: Path) -> None:
        job = client.jobs.get(service.submit())
        publish(service, job.id, FILES)
        (tmp_path / "student.onnx.part").write_bytes(b"other bytes")
        (tmp_path / "manifest.json").write_text("another one")

        job.download(tmp_path, progress=False)

        assert all((tmp_path / name).read_bytes() == content for name, content in FILES.items())

    def test_does_not_keep_a_damaged_file(self, service: Service, client: Tdmr, tmp_path: Path) -> None:
        job = client.jobs.get(service.submit())
        publish(service, job.id, FILES)
        artifact = next(one for one in client.jobs.artifacts(job) if one.name == "student.onnx")
        with pytest.raises(DownloadFailed, match="damaged 3 times"):
            download(
                client.jobs._transport,
                f"/v1/jobs/{job.id}/artifacts/student.onnx",
                artifact.model_copy(update={"sha256": "0" * 64}),
                tmp_path / "student.onnx",
                Silent(),
            )
        assert not (tmp_path / "student.onnx").exists()

    def test_of_a_job_that_has_not_succeeded_is_refused(self, service: Service, client: Tdmr, tmp_path: Path) -> None:
        with pytest.raises(JobEnded, match="It is queued"):
            client.jobs.get(service.submit()).download(tmp_path)

    def test_of_one_student_of_several(self, service: Service, client: Tdmr, tmp_path: Path) -> None:
        job = client.jobs.get(service.submit())
        manifest = {"classes": ["0"], "metrics": {}, "spec": {"students": ["a", "b"]}}
        files = {"manifest.json": manifest, "a/manifest.json": manifest, "b/manifest.json": manifest}
        publish(service, job.id, {name: json.dumps(content).encode() for name, content in files.items()})

        model = job.download(tmp_path, student="b", progress=False)

        assert model.path == tmp_path / "b"
        assert not (tmp_path / "a").exists()
