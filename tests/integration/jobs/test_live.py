"""Server-sent events and answers that wait, over a real socket, on either database."""

import functools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from app.api.live import changes as live_changes
from app.api.live import streams
from app.cli.common import read_url
from app.db.engine import Store
from app.db.models import Dataset
from app.domain.access import Scope
from app.domain.progress import EventLine
from app.domain.states import Stage
from app.services import tickets
from app.services.dataset_leases import claim_dataset, reject_dataset
from app.services.leases import JobClaim, claim_job, finish_job, record
from tests.integration.conftest import Service
from tests.integration.guarding import OPERATOR, guard, key_of
from tests.integration.jobs.test_api_results import point
from tests.support import WAIT_SECONDS, client_of, served

LIVE = {"Accept": "text/event-stream"}
get = functools.partial(httpx.get, timeout=2 * WAIT_SECONDS)


@dataclass
class Frame:
    """One event of a stream as a client parses it."""

    event: str
    id: str
    data: Any


def frames(answer: httpx.Response) -> Iterator[Frame]:
    """What a stream says until it ends; comments and `retry` are passed over."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield Frame(fields["event"], fields["id"], json.loads(fields["data"]))
            fields = {}
        else:
            fields = {}


class Listener:
    """A client of one stream, in a thread of its own."""

    def __init__(self, url: str, **headers: str) -> None:
        self.heard: list[Frame] = []
        self.error: Exception | None = None
        self._url, self._headers = url, LIVE | headers
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def wait_for(self, event: str, count: int = 1) -> None:
        give_up = time.monotonic() + WAIT_SECONDS
        while len(self.of(event)) < count:
            assert time.monotonic() < give_up and self.error is None, (self.error, self.heard)
            time.sleep(0.01)

    def of(self, event: str) -> list[Frame]:
        return [frame for frame in self.heard if frame.event == event]

    def end(self) -> None:
        """Wait until the server has ended the stream."""
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()
        assert self.error is None

    def _listen(self) -> None:
        try:
            with httpx.stream("GET", self._url, headers=self._headers, timeout=WAIT_SECONDS) as answer:
                answer.raise_for_status()
                self.heard.extend(frames(answer))
        except Exception as error:
            self.error = error


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    """The same service behind a real socket."""
    with served(service.settings) as (host, port):
        yield f"http://{host}:{port}"


def claimed(store: Store, job_id: str) -> JobClaim:
    with store.write() as session:
        claim = claim_job(session, job_id, "wk_1")
    assert claim is not None
    return claim


def tell(store: Store, claim: JobClaim, step: int) -> None:
    with store.write() as session:
        event = EventLine(level="info", code="noted", message=f"step {step}")
        assert record(
            session, claim, stage=Stage.DISTILL, progress=step / 10, points=[point(step, loss=1 / step)], events=[event]
        )


def finish(store: Store, claim: JobClaim) -> None:
    with store.write() as session:
        assert finish_job(session, claim, [], {}, {"student_accuracy": 0.9})


class TestStream:
    def test_tells_all_as_it_comes_and_ends_with_the_job(self, service: Service, url: str) -> None:
        job_id = service.submit()
        listener = Listener(f"{url}/v1/jobs/{job_id}/events")
        listener.wait_for("progress")
        claim = claimed(service.store, job_id)
        for step in (1, 2, 3):
            tell(service.store, claim, step)
            listener.wait_for("metrics", step)
        finish(service.store, claim)
        listener.end()

        assert [frame.data["seq"] for frame in listener.of("event")] == list(range(1, len(listener.of("event")) + 1))
        assert [frame.data["code"] for frame in listener.of("event")] == [
            *("submitted", "claimed", "distill"),
            *("noted", "noted", "noted", "succeeded"),
        ]
        points = [one for frame in listener.of("metrics") for one in frame.data["points"]]
        assert points == service.http.get(f"/v1/jobs/{job_id}/metrics").json()["points"]
        assert listener.of("progress")[0].data["state"] == "queued"
        assert listener.heard[-1].event == "end"
        assert listener.heard[-1].data == service.http.get(f"/v1/jobs/{job_id}").json()

    def test_goes_on_where_it_was_cut_with_nothing_lost_or_twice(self, service: Service, url: str) -> None:
        job_id = service.submit()
        claim = claimed(service.store, job_id)
        for step in range(1, 6):
            tell(service.store, claim, step)
        address, heard = f"{url}/v1/jobs/{job_id}/metrics", list[Frame]()
        finish(service.store, claim)
        last = "0"
        while not heard or heard[-1].event != "end":  # cut behind each single event
            with httpx.stream("GET", address, headers=LIVE | {"Last-Event-ID": last}, timeout=WAIT_SECONDS) as answer:
                heard.append(next(frames(answer)))
            last = heard[-1].id
        told = [frame.data["seq"] for frame in heard if frame.event == "event"]
        assert told == list(range(1, len(told) + 1))
        points = [one for frame in heard if frame.event == "metrics" for one in frame.data["points"]]
        assert [one["step"] for one in points] == [1, 2, 3, 4, 5]

    def test_a_number_of_an_event_is_an_id_too(self, service: Service, url: str) -> None:
        job_id = service.submit()
        claim = claimed(service.store, job_id)
        finish(service.store, claim)
        listener = Listener(f"{url}/v1/jobs/{job_id}/events?after=1")
        listener.end()
        assert [frame.data["code"] for frame in listener.of("event")] == ["claimed", "succeeded"]

    @pytest.mark.parametrize("last", ["soon", "1.2.3", "-1"])
    def test_refuses_an_id_that_is_none(self, service: Service, last: str) -> None:
        answer = service.http.get(f"/v1/jobs/{service.submit()}/events", headers=LIVE | {"Last-Event-ID": last})
        assert (answer.status_code, answer.json()["param"]) == (422, "Last-Event-ID")

    def test_of_no_job_is_a_problem(self, service: Service) -> None:
        answer = service.http.get("/v1/jobs/job_01JCZ7R2M4K6H8G0F1E3D5C7B9/events", headers=LIVE)
        assert answer.status_code == 404

    def test_a_caller_has_so_many_at_most(self, service: Service) -> None:
        job_id = service.submit()
        with served(service.settings.model_copy(update={"max_streams": 2})) as (host, port):
            address = f"http://{host}:{port}/v1/jobs/{job_id}/events"
            listeners = [Listener(address) for _ in range(2)]
            for listener in listeners:
                listener.wait_for("progress")
            answer = get(address, headers=LIVE)
            assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
            assert answer.headers["Retry-After"]
            service.http.post(f"/v1/jobs/{job_id}/cancel")
            for listener in listeners:
                listener.end()
            Listener(address).end()

    def test_of_another_tenant_is_not_found_and_ends_with_its_key(
        self, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streams, "PING_SECONDS", 0.2)
        with guard(service) as http, served(http.app.state.resources.settings) as (host, port):  # type: ignore[attr-defined]
            mine, other = key_of(service, "ann"), key_of(service, "bob")
            with service.store.write() as session:
                session.get_one(Dataset, (dataset_id := service.ready_dataset())).tenant = "ann"
            job_id = http.post("/v1/jobs", json=service.spec(dataset_id=dataset_id), headers=mine).json()["id"]
            address = f"http://{host}:{port}/v1/jobs/{job_id}/events"
            assert get(address, headers=LIVE).status_code == 401
            assert get(address, headers=LIVE | other).status_code == 404
            listener = Listener(address, **mine)
            listener.wait_for("progress")
            for key in http.get("/v1/keys", headers=mine).json()["data"]:
                assert http.delete(f"/v1/keys/{key['id']}", headers=mine).status_code == 204
            listener.end()
            assert not listener.of("end")

    def test_ends_when_the_service_is_told_to_stop(self, service: Service) -> None:
        job_id = service.submit()
        environment = {
            **os.environ,
            "TDMR_HOME": str(service.settings.root),
            "TDMR_DATABASE_URL": service.settings.database,
        }
        command = [sys.executable, "-m", "app.cli", "api", "--port=0"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            give_up = time.monotonic() + WAIT_SECONDS
            while (url := read_url(service.settings)) is None:
                assert time.monotonic() < give_up and process.poll() is None
                time.sleep(0.05)
            listener = Listener(f"{url}/v1/jobs/{job_id}/events")
            listener.wait_for("progress")
            process.terminate()
            listener.end()  # cut off, it would be an error
            assert process.wait(WAIT_SECONDS) == 0
        finally:
            process.kill()
            process.wait()

    @pytest.mark.parametrize("store_url", ["postgres"], indirect=True)  # SQLite is asked twice a second
    def test_comes_when_postgres_says_so(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        job_id = service.submit()
        monkeypatch.setattr(live_changes, "POLL_LISTENING_SECONDS", 3600.0)
        with client_of(service.settings) as http:
            give_up = time.monotonic() + WAIT_SECONDS
            while not http.app.state.resources.changes.listening:
                assert time.monotonic() < give_up
                time.sleep(0.01)
            etag = http.get(f"/v1/jobs/{job_id}").headers["ETag"]
            telling = threading.Timer(1.0, claimed, (service.store, job_id))
            telling.start()
            answer = http.get(f"/v1/jobs/{job_id}?wait=60", headers={"If-None-Match": etag})
            telling.join()
        assert (answer.status_code, answer.json()["state"]) == (200, "running")


class TestDataset:
    def test_tells_how_far_the_import_is_and_what_came_of_it(self, service: Service, url: str) -> None:
        dataset_id = service.validating_dataset()
        listener = Listener(f"{url}/v1/datasets/{dataset_id}/events")
        listener.wait_for("progress")
        with service.store.write() as session:
            claim = claim_dataset(session, dataset_id, "wk_1")
            assert claim is not None
            assert reject_dataset(session, claim, {"code": "dataset_rejected", "detail": "The archive holds no image."})
        listener.end()
        assert listener.heard[-1].event == "end"
        assert listener.heard[-1].data == service.http.get(f"/v1/datasets/{dataset_id}?wait=60").json()
        assert listener.heard[-1].data["state"] == "rejected"

    def test_is_waited_for(self, service: Service, url: str) -> None:
        dataset_id = service.validating_dataset()
        assert get(f"{url}/v1/datasets/{dataset_id}?wait=0.1").json()["state"] == "validating"
        assert get(f"{url}/v1/datasets/{service.ready_dataset()}?wait=60").json()["state"] == "ready"


class TestTicket:
    def test_opens_the_stream_of_its_job_and_nothing_else(self, service: Service) -> None:
        with guard(service) as http:
            job_id, other = (
                http.post("/v1/jobs", json=service.spec(), headers=OPERATOR).json()["id"] for _ in range(2)
            )
            assert http.post(f"/v1/jobs/{job_id}/events/ticket").status_code == 401
            made = http.post(f"/v1/jobs/{job_id}/events/ticket", headers=OPERATOR)
            assert made.status_code == 201
            ticket = {"ticket": made.json()["ticket"]}
            assert http.post(f"/v1/jobs/{job_id}/cancel", headers=OPERATOR).status_code == 202
            answer = http.get(f"/v1/jobs/{job_id}/events", params=ticket, headers=LIVE)
            assert answer.status_code == 200 and "event: end" in answer.text
            refused = [
                http.get(f"/v1/jobs/{other}/events", params=ticket, headers=LIVE),
                http.get(f"/v1/jobs/{job_id}/events", params={"ticket": ticket["ticket"] + "x"}, headers=LIVE),
                http.get(f"/v1/jobs/{job_id}/events", params={"ticket": "."}, headers=LIVE),
                http.get(f"/v1/jobs/{job_id}", params=ticket),
                http.get("/v1/jobs", params=ticket),
                http.post(f"/v1/jobs/{job_id}/retry", params=ticket),
            ]
        assert [answer.status_code for answer in refused] == [401] * len(refused)

    def test_is_as_good_as_the_key_that_asked_for_it(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        dataset_id = service.ready_dataset()
        with service.store.write() as session:
            session.get_one(Dataset, dataset_id).tenant = "ann"
        with guard(service) as http:
            mine, other, blind = key_of(service, "ann"), key_of(service, "bob"), key_of(service, "ann", Scope.WRITE)
            job_id = http.post("/v1/jobs", json=service.spec(dataset_id=dataset_id), headers=mine).json()["id"]
            http.post(f"/v1/jobs/{job_id}/cancel", headers=mine)
            address = f"/v1/jobs/{job_id}/events"
            assert http.post(f"{address}/ticket", headers=other).status_code == 404
            assert http.post(f"{address}/ticket", headers=blind).status_code == 403
            ticket = {"ticket": http.post(f"{address}/ticket", headers=mine).json()["ticket"]}
            assert http.get(address, params=ticket, headers=LIVE).status_code == 200

            tenant, actor, signed = ticket["ticket"].split(".", 2)
            for forged in (f"bob.{actor}.{signed}", f"{tenant}.bootstrap.{signed}", f"default.local.{signed}"):
                assert http.get(address, params={"ticket": forged}, headers=LIVE).status_code == 401
            monkeypatch.setattr(tickets, "VALID_SECONDS", -1)
            assert http.get(address, params=ticket, headers=LIVE).status_code == 401
            monkeypatch.undo()
            assert http.get(address, params=ticket, headers=LIVE).status_code == 200
            for key in http.get("/v1/keys", headers=mine).json()["data"]:
                http.delete(f"/v1/keys/{key['id']}", headers=mine)
            assert http.get(address, params=ticket, headers=LIVE).status_code == 401


class TestWait:
    def test_answers_once_the_job_has_changed(self, service: Service, url: str) -> None:
        job_id = service.submit()
        known = {"If-None-Match": get(f"{url}/v1/jobs/{job_id}").headers["ETag"]}
        answers: list[httpx.Response] = []

        def ask() -> None:
            answers.append(get(f"{url}/v1/jobs/{job_id}?wait=60", headers=known))

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(1)
        assert not answers
        claimed(service.store, job_id)
        asking.join(WAIT_SECONDS)
        assert answers[0].json()["state"] == "running"

    def test_answers_at_once_where_the_client_knows_another_version(self, service: Service, url: str) -> None:
        job_id = service.submit()
        etag = get(f"{url}/v1/jobs/{job_id}").headers["ETag"]
        claimed(service.store, job_id)
        answer = get(f"{url}/v1/jobs/{job_id}?wait=60", headers={"If-None-Match": etag})
        assert (answer.status_code, answer.json()["state"]) == (200, "running")

    def test_that_is_over_says_that_nothing_has_changed(self, service: Service) -> None:
        job_id = service.submit()
        # longer than any other request may take
        with served(service.settings.model_copy(update={"request_seconds": 2.0})) as (host, port):
            address = f"http://{host}:{port}/v1/jobs/{job_id}?wait=3"
            answer = get(address)
            assert (answer.status_code, answer.json()["state"]) == (200, "queued")
            assert get(address, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304

    def test_of_a_job_that_has_ended_is_none(self, service: Service, url: str) -> None:
        job_id = service.submit()
        service.http.post(f"/v1/jobs/{job_id}/cancel")
        etag = get(f"{url}/v1/jobs/{job_id}?wait=60").headers["ETag"]
        assert get(f"{url}/v1/jobs/{job_id}?wait=60", headers={"If-None-Match": etag}).status_code == 304
