"""From a log line of a worker or its child back to the request that made the job."""

import json
import logging
import sys
import threading
import zipfile
from collections.abc import Iterator

import pytest

from app import log_context
from app.db.queries.claims import Heartbeat
from app.log_context import bound
from app.logs import JsonLines
from tests.integration.conftest import Service
from worker.lease import Lease
from worker.supervisor import Supervisor

CHILD = """
import logging
from app.logs import configure_logging
configure_logging("info")
logging.getLogger("worker.training").info("hello")
"""


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What the worker logs, as it is written."""
    written: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: written.append(JsonLines().format(record))  # type: ignore[method-assign]
    logger = logging.getLogger("worker")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield written
    logger.removeHandler(handler)
    logger.setLevel(before)


class TestWorker:
    def test_tells_the_job_its_data_set_the_attempt_and_the_request(self, service: Service, lines: list[str]) -> None:
        spec = service.spec()
        archive = service.tmp_path / "prepared.zip"
        with zipfile.ZipFile(archive, "w") as zipped:
            zipped.writestr("index.json", json.dumps({"classes": ["0", "1"], "samples": []}))
        service.blobs.put_file(f"datasets/{spec['dataset_id']}/e1/prepared.zip", archive)
        answer = service.http.post("/v1/jobs", json=spec)
        expected = {
            "job_id": answer.json()["id"],
            "dataset_id": spec["dataset_id"],
            "epoch": 1,
            "request_id": answer.headers["X-Request-ID"],
        }

        command = (sys.executable, "-c", CHILD)
        Supervisor(
            service.settings, service.store, service.blobs, "wk_1", threading.Event(), command=command
        ).run_next()

        logged = [json.loads(line) for line in lines]
        messages = [line["message"] for line in logged]
        assert messages[0] == "attempt 1 begins"
        assert all(expected.items() <= line.items() for line in logged), messages
        (last_words,) = (message for message in messages if message.startswith("the child's last words"))
        said = json.loads(last_words.splitlines()[1])
        assert said["message"] == "hello"
        assert expected.items() <= said.items()

    def test_heartbeats_tell_too(self, service: Service) -> None:
        seen: list[dict[str, str | int]] = []
        beaten = threading.Event()

        def beat() -> Heartbeat:
            seen.append(log_context.current())
            beaten.set()
            return Heartbeat(alive=True)

        settings = service.settings.model_copy(update={"heartbeat_seconds": 0.01})
        with bound(job_id="job_1"), Lease(settings, service.store, threading.Event(), beat=beat):
            beaten.wait()
        assert seen[0] == {"job_id": "job_1"}


class TestApi:
    def test_tells_the_job_that_a_request_is_about(self, service: Service, caplog: pytest.LogCaptureFixture) -> None:
        caplog.handler.setFormatter(JsonLines())
        caplog.set_level(logging.INFO, "app")
        answer = service.http.post("/v1/jobs", json=service.spec())
        job_id = answer.json()["id"]
        service.http.get(f"/v1/jobs/{job_id}/events")
        written = [json.loads(line) for line in caplog.text.splitlines() if line.startswith("{")]
        requests = [line for line in written if line["message"] == "request"]
        assert [line["job_id"] for line in requests] == [job_id, job_id]
        assert requests[0]["request_id"] == answer.headers["X-Request-ID"]
