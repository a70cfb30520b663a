"""Runs on a real MLflow server, of jobs in either database."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from app.db.models import Tracking, utcnow
from app.domain.manifest import ArtifactFile
from app.domain.webhooks import RETRY_SECONDS
from app.services.leases import finish_job
from app.services.tracking_claims import CLAIM
from tests.integration.client.conftest import EVALUATION
from tests.integration.conftest import Service
from tests.integration.jobs.test_live import claimed
from tests.integration.tracking.mlflow_server import PASSWORD, TOO_LARGE, USER, MLflowServer, running
from tests.integration.tracking.tracking_post import FILES, Post, served_with, succeed
from tests.support import WAIT_SECONDS
from worker.lease import STORE_AWAY
from worker.tracking import tracker as worker
from worker.tracking.tracker import Tracker

LOGGED_FILES = {name: content for name, content in FILES.items() if content != b"names images"}
LOSSES = [(1, 1.0), (2, 1 / 2), (3, pytest.approx(1 / 3))]


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
    with running(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture
def post(service: Service, mlflow: MLflowServer, request: pytest.FixtureRequest) -> Iterator[Post]:
    with served_with(service, mlflow_uri=SecretStr(mlflow.uri), public_url="https://tdmr.example") as tracked:
        yield Post(tracked, f"of {request.node.name}")


class TestLogged:
    @pytest.mark.parametrize(
        ("how", "status"), [("succeeded", "FINISHED"), ("failed", "FAILED"), ("cancelled", "KILLED")]
    )
    def test_with_all_that_there_is(self, post: Post, mlflow: MLflowServer, how: str, status: str) -> None:
        job_id = post.ended(how)
        assert post.shown(job_id)["state"] == "pending"
        before = post.service.http.get(f"/v1/jobs/{job_id}")

        assert post.log_due() == 1

        (run,) = mlflow.runs(post.experiment)
        assert run.info.status == status
        assert (run.data.params["distill.image_steps"], run.data.params["seed"]) == ("1000", "0")
        assert mlflow.history(run, "distill/loss") == LOSSES
        assert run.data.tags["tdmr.job_id"] == job_id and run.data.tags["metadata.owner"] == "ann"
        assert run.data.tags["tdmr.dataset_digest"] == "d" * 64
        assert run.data.tags["tdmr.job_url"] == f"https://tdmr.example/jobs/{job_id}"
        results = {name: value for name, value in run.data.metrics.items() if not name.startswith("distill/")}
        assert mlflow.files(run) == (LOGGED_FILES if how == "succeeded" else {})
        if how == "succeeded":
            assert results["student_accuracy"] == 0.75 == results["evaluation/student_top1"]
        else:
            assert results == {}
        after = post.service.http.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": before.headers["ETag"]})
        assert after.status_code == 200
        page = f"{mlflow.address}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
        expected = {"state": "succeeded", "experiment": post.experiment, "url": page, "error": None}
        assert after.json()["tracking"] == {"mlflow": expected}
        assert after.json() == before.json() | {
            "tracking": {"mlflow": expected},
            "updated_at": after.json()["updated_at"],
        }
        assert post.service.http.get("/v1/jobs").json()["data"][0]["tracking"]["mlflow"] == expected
        assert f'<a href="{page}"' in post.service.http.get(f"/jobs/{job_id}", headers={"Accept": "text/html"}).text
        assert post.log_due() == 0
        assert not any((post.settings.scratch / "trackings").iterdir())

    def test_of_several_students_tells_each_one_s_results_and_files(self, post: Post, mlflow: MLflowServer) -> None:
        names = ("mobilenetv3_small_050", "resnet50")
        job_id = post.submit(student=None, students=names)
        claim = claimed(post.service.store, job_id)
        content = b"onnx"
        post.service.put_artifact(job_id, claim.epoch, "resnet50/student.onnx", content)
        sha256 = hashlib.sha256(content).hexdigest()
        file = ArtifactFile(name="resnet50/student.onnx", bytes=4, sha256=sha256, media_type="application/onnx")
        with post.service.store.write() as session:
            assert finish_job(session, claim, [file], dict.fromkeys(names, EVALUATION), {})
        assert post.log_due() == 1
        (run,) = mlflow.runs(post.experiment)
        assert {f"evaluation/{name}/student_top1" for name in names} <= run.data.metrics.keys()
        assert mlflow.files(run) == {"resnet50/student.onnx": content}

    def test_what_waits_for_a_job_ends_with_it_and_not_with_its_run(self, post: Post) -> None:
        job_id, claim = post.started()
        etag = post.service.http.get(f"/v1/jobs/{job_id}").headers["ETag"]
        succeed(post.service, claim, {})
        waited = post.service.http.get(f"/v1/jobs/{job_id}?wait=30", headers={"If-None-Match": etag}).json()
        assert waited["tracking"]["mlflow"]["state"] == "pending"
        live = {"Accept": "text/event-stream"}
        told = post.service.http.get(f"/v1/jobs/{job_id}/events", headers=live).text
        assert told.count("event: end") == 1 and '"state":"pending"' in told
        assert post.log_due() == 1
        told = post.service.http.get(f"/v1/jobs/{job_id}/events", headers=live).text
        assert told.count("event: end") == 1 and f'"experiment":"{post.experiment}"' in told


class TestFailures:
    def test_a_server_that_is_away_is_tried_again_and_nothing_is_there_twice(
        self, post: Post, mlflow: MLflowServer
    ) -> None:
        job_id = post.ended()
        mlflow.door.shut()
        try:
            assert post.log_due() == 1
        finally:
            mlflow.door.open()
        told = post.shown(job_id)
        assert (told["state"], told["url"], told["error"]) == ("pending", None, "The tracking server does not answer.")
        page = post.service.http.get(f"/jobs/{job_id}", headers={"Accept": "text/html"}).text
        assert "The tracking server does not answer. It is tried again." in page
        assert post.tracker().log_due() == 0  # not yet
        post.clock.move(seconds=RETRY_SECONDS[0])
        assert post.log_due() == 1
        assert (post.shown(job_id)["state"], post.shown(job_id)["error"]) == ("succeeded", None)
        (run,) = mlflow.runs(post.experiment)
        assert mlflow.history(run, "distill/loss") == LOSSES

    @pytest.mark.slow
    def test_a_worker_that_is_killed_once_it_has_written_leaves_nothing_twice(
        self, post: Post, mlflow: MLflowServer, tmp_path: Path
    ) -> None:
        job_id, log = post.ended(), tmp_path / "worker.txt"
        environment = {
            "TDMR_HOME": str(post.settings.root),
            "TDMR_DATABASE_URL": post.settings.database,
            "TDMR_MLFLOW_URI": mlflow.uri,
            "FAULT_POINT": "run_logged",
        }
        with log.open("wb") as file:
            command = [sys.executable, "-m", "app.cli", "worker", "--queue=datasets"]
            process = subprocess.Popen(command, env=os.environ | environment, stdout=file, stderr=file)
        try:
            assert process.wait(4 * WAIT_SECONDS) == -signal.SIGKILL, log.read_text()
        finally:
            process.kill()
            process.wait()
        assert len(mlflow.runs(post.experiment)) == 1
        assert post.shown(job_id)["state"] == "pending"
        assert post.log_due() == 0  # it is claimed
        post.clock.move(seconds=CLAIM.total_seconds())
        assert post.log_due() == 1
        assert post.shown(job_id)["state"] == "succeeded"
        assert (post.row(job_id).epoch, post.row(job_id).attempts) == (2, 1)
        (run,) = mlflow.runs(post.experiment)
        assert mlflow.history(run, "distill/loss") == LOSSES
        assert len(mlflow.history(run, "student_accuracy")) == 1
        assert mlflow.files(run) == LOGGED_FILES
        assert PASSWORD not in log.read_text() and USER not in log.read_text()

    def test_a_run_that_is_refused_says_why(self, post: Post, mlflow: MLflowServer) -> None:
        from mlflow import MlflowClient

        store = MlflowClient(f"sqlite:///{mlflow.folder / 'mlflow.db'}")
        store.delete_experiment(store.create_experiment(post.experiment))
        job_id = post.ended("failed")
        assert post.log_due() == 1
        error = post.shown(job_id)["error"]
        assert error.startswith("The tracking server refused the run: ") and "active" in error

    def test_a_wrong_password_is_said_and_none_is_shown(
        self, post: Post, mlflow: MLflowServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")
        job_id, wrong = post.ended("failed"), "n0t-the-password"
        address = mlflow.address.removeprefix("http://")
        tracker = post.tracker(mlflow_uri=SecretStr(f"http://{USER}:{wrong}@{address}"))
        post.clock.now = utcnow()
        assert tracker.log_due() == 1
        answer = post.service.http.get(f"/v1/jobs/{job_id}").text
        assert "its user name or password is wrong or missing" in answer
        said = caplog.text + answer + repr(post.settings) + repr(tracker.__dict__["_server"])
        assert wrong not in said and f"{USER}:" not in said

    def test_a_file_that_is_not_let_in_is_said_and_the_rest_is_there(self, post: Post, mlflow: MLflowServer) -> None:
        job_id = post.ended(files={"student.onnx": b"onnx", TOO_LARGE: b"<svg/>"})
        assert post.log_due() == 1
        assert post.shown(job_id)["error"] == "The tracking server answered with an error, 413."
        (run,) = mlflow.runs(post.experiment)
        assert mlflow.files(run) == {"student.onnx": b"onnx"}
        assert mlflow.history(run, "distill/loss") == LOSSES

    def test_a_lost_file_is_named(self, post: Post) -> None:
        job_id = post.ended(files={"student.onnx": b"onnx"})
        post.service.blobs.delete_prefix(f"jobs/{job_id}")
        post.service.put_artifact(job_id, 9, "other", b"")  # an empty storage counts as away
        assert post.log_due() == 1
        assert post.shown(job_id)["error"] == "The storage no longer has the job's file student.onnx."


class TestManyWorkers:
    def test_log_each_job_once(self, post: Post, mlflow: MLflowServer) -> None:
        ids = [post.ended("failed") for _ in range(3)]
        post.clock.now = utcnow()

        give_up = time.monotonic() + WAIT_SECONDS

        def work(tracker: Tracker) -> None:
            while time.monotonic() < give_up and any(post.row(job_id).state == "pending" for job_id in ids):
                with suppress(*STORE_AWAY):  # as its own loop does
                    tracker.log_due()
                time.sleep(0.1)

        threads = [threading.Thread(target=work, args=(post.tracker(),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [(post.row(job_id).epoch, post.row(job_id).attempts) for job_id in ids] == [(1, 1)] * 3
        assert sorted(run.data.tags["tdmr.job_id"] for run in mlflow.runs(post.experiment)) == sorted(ids)


def wait_until(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.05)


class TestRunningAttempt:
    """Against a server that takes a connection and never answers."""

    @pytest.fixture(autouse=True)
    def _hangs(self, mlflow: MLflowServer) -> Iterator[None]:
        mlflow.door.hangs = True
        yield
        mlflow.door.hangs = False
        mlflow.door.shut()
        mlflow.door.open()

    @contextmanager
    def _started(self, post: Post, job_id: str) -> Iterator[Tracker]:
        tracker = post.tracker()
        tracker.start()
        try:
            wait_until(lambda: post.row(job_id).epoch == 1)
            yield tracker
        finally:
            tracker.__dict__["_stopping"].set()
            tracker.wait(WAIT_SECONDS)

    def test_is_handed_back_by_a_worker_that_stops(self, post: Post) -> None:
        job_id = post.ended("failed")
        post.clock.now = utcnow()
        with self._started(post, job_id):
            assert post.row(job_id).next_attempt_at == post.clock.now + CLAIM
        row = post.row(job_id)
        assert (row.state, row.attempts, row.next_attempt_at) == ("pending", 0, post.clock.now)

    def test_keeps_its_claim_while_it_lasts_and_ends_with_its_job(
        self, post: Post, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(worker, "PUT_OFF_SECONDS", 0.1)
        job_id = post.ended("failed")
        post.clock.now = utcnow()
        with self._started(post, job_id) as tracker:
            post.clock.move(seconds=60)
            wait_until(lambda: post.row(job_id).next_attempt_at == post.clock.now + CLAIM)
            assert post.service.http.delete(f"/v1/jobs/{job_id}").status_code == 204
            folder = post.settings.scratch / "trackings"
            wait_until(lambda: not any(folder.iterdir()))
            assert tracker.__dict__["_thread"].is_alive()
        with post.service.store.read() as session:
            assert session.scalars(select(Tracking)).all() == []

    def test_is_ended_when_it_takes_too_long(self, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(worker, "ATTEMPT_SECONDS", 0.5)
        job_id = post.ended("failed")
        assert post.log_due() == 1
        assert post.shown(job_id)["error"] == "It was not done after 0 minutes."
