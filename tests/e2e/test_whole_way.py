"""The whole way through real processes: API, Celery workers, training, export, as `tdmr up` starts them."""

import json
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import onnxruntime
import pytest

from app.demo.digits import write_digits_zip
from app.imaging import fit_square, open_rgb
from benchmarks.common.service import TERMINAL, Client, running_client
from worker.verify import verify

SPEC: dict[str, Any] = {
    "teacher": "resnet10t.glyphs62",
    "student": "test_resnet",
    "image_size": 32,
    "views": {"count": 2, "hflip": False},
    "reprogram": {"steps": 30},
    "distill": {"image_steps": 640, "batch_size": 64},
    "export": {"formats": ["torchscript"], "measure": False},
}


@contextmanager
def running(folder: Path, environment: dict[str, str]) -> Iterator[Client]:
    """A service that is ready to train; the end of its log is shown when a test fails."""
    folder.mkdir(exist_ok=True)
    log = folder / "service.log"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"HUB": "false", "CANCEL_POLL_SECONDS": "0.2", **environment}.items():
            patch.setenv(f"TDMR_{name}", value)
        try:
            with running_client(folder / "home", log) as client:
                if key := environment.get("API_KEY"):
                    assert client.http.get("/v1/jobs").status_code == 401
                    client.http.headers["Authorization"] = f"Bearer {key}"
                client.wait_for_worker()
                yield client
        finally:
            sys.stdout.write(log.read_text()[-5000:])


@pytest.fixture(params=["embedded", "production"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    """SQLite and files, or Postgres and Redis with a key. Nothing but settings differs."""
    environment = {}
    if request.param == "production":
        environment = {
            "DATABASE_URL": request.getfixturevalue("postgres_url"),
            "BROKER_URL": request.getfixturevalue("redis_url"),
            "STORAGE_URL": (tmp_path / "bucket").as_uri(),
            "API_KEY": "a key for the test",
        }
    with running(tmp_path / "service", environment) as client:
        yield client


class Shared(NamedTuple):
    """One embedded stack for the tests of jobs, with the digits. What a job trains changes nothing in the stack; what
    the stacks do differently, tests/faults has on both.
    """

    client: Client
    dataset: str
    archive: Path


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("shared")
    with running(folder, {}) as client:
        archive = folder / "digits.zip"
        write_digits_zip(archive, labels_per_class=2)
        yield Shared(client, client.upload(archive)["id"], archive)


def wait(client: Client, job: dict[str, Any]) -> tuple[dict[str, Any], list[float]]:
    progress = []
    while job["state"] not in TERMINAL:
        time.sleep(0.2)
        job = client.get(f"/v1/jobs/{job['id']}")
        progress.append(job["progress"])
        is_over = job["state"] in TERMINAL
        assert (job["eta_seconds"] == 0) == is_over, job
        assert (job["progress"] == 1.0) == (job["state"] == "succeeded"), job
    return job, progress


FIGURES = {"classes.svg", "confusion_matrix.svg", "reliability.svg", "training_curves.svg"}
OF_A_STUDENT = FIGURES | {"model_card.md", "model_card.html", "evaluation.json", "manifest.json", "student.safetensors"}
OF_A_STUDENT |= {"answers.csv"}
OF_A_JOB = {"manifest.json", "reprogrammed.safetensors", "data_review.json"}


class TestWholeWay:
    def test_from_an_upload_to_files_that_compute_what_was_trained(self, client: Client, tmp_path: Path) -> None:
        write_digits_zip(tmp_path / "digits.zip", labels_per_class=2)
        dataset = client.upload(tmp_path / "digits.zip")
        assert dataset["counts"] == {"train": 20, "val": 0, "test": 719, "unlabelled": 1058}

        # in the files that a job writes unless it is told otherwise
        body = SPEC | {"dataset_id": dataset["id"], "metadata": {"team": "digits"}, "export": {}}
        assert client.http.post("/v1/jobs/estimate", json=body).json()["seconds"] is None  # nothing has run yet
        first, again = (client.http.post("/v1/jobs", json=body, headers={"Idempotency-Key": "once"}) for _ in range(2))
        assert first.status_code == again.status_code == 202
        assert first.json()["id"] == again.json()["id"]
        job, progress = wait(client, first.json())
        assert job["error"] is None
        assert job["state"] == "succeeded"
        assert progress == sorted(progress)
        assert job["progress"] == 1.0

        # the one job has told what the next one of its kind takes
        estimate = client.http.post("/v1/jobs/estimate", json=body).json()
        assert estimate["seconds"] is not None, estimate["unknown"]
        assert estimate["cached"] == [f"images decoded at {SPEC['image_size']} px", "stage 1", "the teacher's answers"]

        names = client.download(job["id"], tmp_path / "files")
        assert set(names) == OF_A_STUDENT | OF_A_JOB | {"student.onnx", "student.ts"}
        evaluation = client.get(f"/v1/jobs/{job['id']}/evaluation")
        assert evaluation["images"] == 719
        assert evaluation["student"]["top1"] == job["metrics"]["student_accuracy"]
        assert evaluation["teacher"]["top1"] > 0.6
        report = verify(tmp_path / "files", tmp_path / "digits.zip")
        assert report.ok
        self.check_onnx_without_our_code(tmp_path, evaluation)

        stages = [event["code"] for event in client.get(f"/v1/jobs/{job['id']}/events", limit=100)["data"]]
        assert stages[0] == "submitted"
        assert "claimed" in stages
        curves = client.get(f"/v1/jobs/{job['id']}/metrics", stage="distill")["points"]
        assert max(point["step"] for point in curves) == 10
        assert {"loss", "kd", "teacher_agreement"} <= curves[-1]["values"].keys()

    @staticmethod
    def check_onnx_without_our_code(folder: Path, evaluation: dict[str, Any]) -> None:
        """The manifest's preprocessing and onnxruntime give the accuracy that `evaluation` promises."""
        manifest = json.loads((folder / "files" / "manifest.json").read_text())
        preprocessing = manifest["preprocessing"]
        with zipfile.ZipFile(folder / "digits.zip") as archive:
            names = [name for name in archive.namelist() if name.startswith("test/")]
            squares = np.stack(
                [fit_square(open_rgb(archive.read(name)), preprocessing["resize_short_side"]) for name in names]
            )
        mean, std = (np.array(preprocessing[key], np.float32) for key in ("mean", "std"))
        images = ((squares * np.float32(preprocessing["scale"]) - mean) / std).transpose(0, 3, 1, 2)
        session = onnxruntime.InferenceSession(folder / "files" / "student.onnx")
        (logits,) = session.run(None, {"images": images})
        answers = [manifest["classes"][k] for k in logits.argmax(1)]
        right = np.mean([answer == name.split("/")[1] for answer, name in zip(answers, names, strict=True)])
        assert right == pytest.approx(evaluation["student"]["top1"])

    @pytest.mark.timeout(600)  # three jobs
    def test_several_students_and_a_probe_of_one_teacher(self, shared: Shared, tmp_path: Path) -> None:
        client, dataset, archive = shared
        names = ["test_resnet", "test_vit"]
        body = SPEC | {"dataset_id": dataset, "student": None, "export": {"formats": ["torchscript"]}}
        several = client.submit(body | {"students": names})
        trains_no_student = {key: value for key, value in body.items() if key != "distill"}
        probe = client.submit(trains_no_student | {"method": "probe"})

        job, progress = wait(client, several)
        assert job["error"] is None
        assert progress == sorted(progress)
        of_all = OF_A_JOB | {"comparison.json", "pareto.svg"}
        own = OF_A_STUDENT | {"student.ts"}
        downloaded = client.download(job["id"], tmp_path / "files")
        assert set(downloaded) == of_all | {f"{name}/{file}" for name in names for file in own}
        assert verify(tmp_path / "files", archive).ok
        for name in names:
            evaluation = client.get(f"/v1/jobs/{job['id']}/evaluation", student=name)
            assert evaluation["student"]["top1"] == job["metrics"][f"{name}/student_accuracy"]
        curves = client.get(f"/v1/jobs/{job['id']}/metrics", stage="distill")["points"]
        assert [point["step"] for point in curves if "test_vit/loss" in point["values"]] == list(range(11, 21))

        job, _ = wait(client, client.http.post(f"/v1/jobs/{job['id']}/rerun").json())
        assert job["error"] is None
        assert job["reproduces"] == {"tensors_equal": True, "accuracy_difference": 0.0}

        job, _ = wait(client, probe)
        assert job["error"] is None
        files = [file["name"] for file in client.get(f"/v1/jobs/{job['id']}/artifacts")["data"]]
        of_a_probe = {"answers.csv", "data_review.json", "evaluation.json", "manifest.json", "probe.safetensors"}
        assert set(files) == FIGURES - {"training_curves.svg"} | of_a_probe  # it draws no curves: no student learns
        evaluation = client.get(f"/v1/jobs/{job['id']}/evaluation")
        assert evaluation["student"] is None
        assert evaluation["probe"]["top1"] == job["metrics"]["probe_accuracy"]

    def test_cancel_frees_the_worker_for_the_next_job(self, shared: Shared) -> None:
        client = shared.client
        body = SPEC | {"dataset_id": shared.dataset}
        endless = client.submit(body | {"distill": {"image_steps": 2_000_000}})
        short = client.submit(body)
        assert short["queue"]["position"] in {1, 2}
        while client.get(f"/v1/jobs/{endless['id']}")["stage"] != "distill":
            time.sleep(0.2)
        answer = client.http.post(f"/v1/jobs/{endless['id']}/cancel")
        assert answer.status_code == httpx.codes.ACCEPTED
        cancelled, _ = wait(client, answer.json())
        assert cancelled["state"] == "cancelled"
        assert client.get(f"/v1/jobs/{cancelled['id']}/artifacts")["data"] == []
        done, _ = wait(client, short)
        assert done["state"] == "succeeded"

    def test_a_job_that_cannot_train_fails_in_words(self, shared: Shared) -> None:
        client = shared.client
        body = SPEC | {"dataset_id": shared.dataset, "student": "test_vit", "image_size": 17}
        job, _ = wait(client, client.submit(body))
        assert job["state"] == "failed"
        assert job["error"]["code"] == "model_not_buildable"
        assert "17 px" in job["error"]["detail"]
        assert job["error"]["hint"]
        assert str(shared.archive.parent) not in json.dumps(job)
