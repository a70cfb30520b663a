"""What every call has: the key, retries, pages, errors by code, a log without secrets."""

import asyncio
import logging
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.domain.access import Scope
from benchmarks.service.broken_line import BrokenLine
from tdmr import AsyncTdmr, Tdmr, problems
from tdmr._config import Config, config_file, find_config, save
from tdmr.errors import ConnectionFailed, Unexpected
from tests.integration.client.conftest import Front
from tests.integration.conftest import Service
from tests.integration.guarding import OPERATOR_KEY, key_of


class TestErrors:
    def test_have_a_class_for_each_code_with_hint_and_request_id(self, service: Service, client: Tdmr) -> None:
        with pytest.raises(problems.NotFound) as missing:
            client.jobs.get("job_0")
        with pytest.raises(problems.UnknownTeacher) as unknown:
            client.jobs.create(dataset=service.ready_dataset(), teacher="resnet81", student="resnet50")

        assert (missing.value.status, missing.value.code) == (404, "not_found")
        assert missing.value.request_id and missing.value.request_id in str(missing.value)
        assert unknown.value.hint and unknown.value.hint in str(unknown.value)

    def test_name_each_field_that_is_wrong(self, service: Service, client: Tdmr) -> None:
        with pytest.raises(problems.InvalidRequest) as invalid:
            client.jobs.create(
                dataset=service.ready_dataset(), teacher="resnet18", student="resnet50", image_size=1, seed=-1
            )
        assert "image_size" in str(invalid.value) and "seed" in str(invalid.value)

    def test_of_a_service_that_is_not_there_come_soon_and_say_what_to_do(self, surroundings: None) -> None:
        with Tdmr("http://127.0.0.1:9") as client, pytest.raises(ConnectionFailed) as failed:
            client.health()
        assert failed.value.hint and "tdmr up" in failed.value.hint

    def test_of_something_else_at_the_address(self, front: Front, surroundings: None) -> None:
        with Tdmr(f"{front.url}/docs#") as client, pytest.raises(Unexpected, match="not as tdmr does"):
            client.health()


class TestRetries:
    def test_go_over_a_service_that_is_away_for_a_moment(self, service: Service, front: Front, client: Tdmr) -> None:
        job_id = service.submit()
        client.health()
        front.close()
        opening = threading.Timer(1.0, front.open)
        opening.start()
        try:
            assert client.jobs.get(job_id).id == job_id
        finally:
            opening.join()

    def test_make_one_job_of_a_request_whose_answer_was_lost(self, service: Service, front: Front) -> None:
        dataset = service.ready_dataset()
        with BrokenLine("127.0.0.1", front.port, [1, 1]) as line, Tdmr(f"http://127.0.0.1:{line.port}") as client:
            job = client.jobs.create(dataset=dataset, teacher="resnet18.a1_in1k", student="resnet50")
            assert line.breaks == 2
            assert [one.id for one in client.jobs.list()] == [job.id]

    def test_do_not_repeat_what_is_not_safe(self, service: Service, front: Front) -> None:
        job_id = service.submit()
        service.http.post(f"/v1/jobs/{job_id}/cancel")
        with BrokenLine("127.0.0.1", front.port, [1]) as line, Tdmr(f"http://127.0.0.1:{line.port}") as client:
            with pytest.raises(ConnectionFailed):
                client.jobs.retry(job_id)
            assert len(client.jobs.list().to_list()) == 2  # the job and its one retry

    def test_of_a_delete_that_was_carried_out_take_its_absence_for_success(
        self, service: Service, front: Front
    ) -> None:
        dataset = service.ready_dataset()
        with BrokenLine("127.0.0.1", front.port, [1]) as line, Tdmr(f"http://127.0.0.1:{line.port}") as client:
            client.datasets.delete(dataset)
            assert line.breaks == 1
            with pytest.raises(problems.NotFound):
                client.datasets.get(dataset)


class TestPages:
    def test_come_when_they_are_needed_and_stop_at_the_limit(self, service: Service, client: Tdmr) -> None:
        jobs = [service.submit() for _ in range(3)]
        jobs.reverse()

        assert [job.id for job in client.jobs.list()] == jobs
        assert [job.id for job in client.jobs.list(limit=2)] == jobs[:2]
        assert client.jobs.list(state="failed").first() is None
        assert len(client.jobs.list(state=["queued", "failed"]).to_list()) == 3

    def test_of_more_than_one(self, service: Service, client: Tdmr, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tdmr._sync._pages._PAGE", 1)

        assert [card.name for card in client.students.list("mobilenet")] == [
            "mobilenetv3_small_050",
            "mobilenetv3_small_075",
        ]

    def test_are_filtered_by_metadata(self, service: Service, client: Tdmr) -> None:
        wanted = service.submit(metadata={"owner": "ann"})
        service.submit(metadata={"owner": "bob"})

        assert [job.id for job in client.jobs.list(metadata={"owner": "ann"})] == [wanted]


class TestKeys:
    def test_are_sent_and_stand_in_no_log_and_no_repr(
        self, service: Service, front: Front, surroundings: None, caplog: pytest.LogCaptureFixture
    ) -> None:
        front.close()
        front.changes = {"api_key": SecretStr(OPERATOR_KEY), "rate_limit": 0}
        front.open()
        secret = key_of(service, "default", Scope.READ)["Authorization"].removeprefix("Bearer ")
        caplog.set_level(logging.DEBUG)
        with Tdmr(front.url, secret) as client:
            assert client.jobs.list().to_list() == []
            with pytest.raises(problems.Forbidden) as refused:
                client.jobs.create(dataset="ds_0", student="resnet50", method="scratch")
            shown = repr(client) + repr(client._config) + str(refused.value)
        with Tdmr(front.url) as stranger, pytest.raises(problems.Unauthorized):
            stranger.jobs.list().first()

        assert "GET /v1/jobs: 200" in caplog.text
        assert secret not in caplog.text + shown


def test_the_asynchronous_twin_does_the_same(service: Service, front: Front, surroundings: None) -> None:
    jobs = [service.submit() for _ in range(2)]

    async def use() -> list[str]:
        async with AsyncTdmr(front.url) as client:
            with pytest.raises(problems.NotFound):
                await client.jobs.get("job_0")
            assert (await client.jobs.get(jobs[0])).state == "queued"
            assert await (await client.jobs.get(jobs[0])).cancel()
            return [job.id async for job in client.jobs.list(state="queued")]

    assert asyncio.run(use()) == [jobs[1]]


def test_a_saved_key_goes_only_to_the_address_it_was_saved_with(
    surroundings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(Config("https://tdmr.example", "tdmr_secret"))

    assert config_file().stat().st_mode & 0o077 == 0
    assert find_config() == Config("https://tdmr.example", "tdmr_secret")
    assert find_config("https://other.example").api_key is None
    monkeypatch.setenv("TDMR_BASE_URL", "http://127.0.0.1:8000")
    assert find_config() == Config("http://127.0.0.1:8000", None)
