"""The command against the service: what it prints for people and programs, its exit statuses, Ctrl-C."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.db.models import Dataset
from tdmr import Tdmr
from tdmr.cli.root import tdmr
from tdmr.problems import NotFound
from tests.integration.client.conftest import Front, ImportWorker, publish
from tests.integration.client.student import small_student
from tests.integration.client.test_jobs import FILES
from tests.integration.conftest import Service
from tests.integration.datasets.test_layouts import QUESTION
from tests.integration.jobs.test_live import claimed, finish, tell
from tests.support import WAIT_SECONDS
from tests.unit.client.folders import write_images

MODELS = ["--teacher", "resnet18.a1_in1k", "--student", "mobilenetv3_small_050"]


@pytest.fixture
def address(front: Front, surroundings: None, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TDMR_BASE_URL", front.url)
    return front.url


def run(*arguments: str, code: int = 0, **options: str) -> Result:
    result = CliRunner().invoke(tdmr, arguments, **options)  # type: ignore[arg-type]
    assert result.exit_code == code, (result.output, result.exception)
    return result


def as_json(*arguments: str) -> object:
    return json.loads(run(*arguments, "--json").stdout)


class TestTrain:
    def test_leads_from_a_folder_to_a_student_and_a_verdict(
        self, service: Service, address: str, worker: ImportWorker, trainer: None, tmp_path: Path
    ) -> None:
        write_images(tmp_path / "photos", ("cat", "dog"))
        said = run(
            "train", str(tmp_path / "photos"), *MODELS, "--set", "distill.image_steps=1000",
            "--out", str(tmp_path / "model"),
        )  # fmt: skip

        assert "Uploading photos.zip 100%" in said.stderr and "Succeeded 100%" in said.stderr
        assert "Downloading student.onnx 100%" in said.stderr
        assert f"folder        {tmp_path / 'model'}" in said.stdout
        assert "student       75.0% (30.1% – 95.4%) on 4 test images" in said.stdout
        assert (tmp_path / "model" / "student.onnx").read_bytes() == small_student()["student.onnx"]
        [job] = service.http.get("/v1/jobs").json()["data"]
        assert (job["spec"]["distill"]["image_steps"], job["spec"]["teacher"]) == (1000, "resnet18.a1_in1k")

    def test_takes_a_file_and_a_data_set_that_is_there(
        self, service: Service, address: str, trainer: None, tmp_path: Path
    ) -> None:
        (tmp_path / "job.yaml").write_text("student: resnet50\nmethod: scratch\nimage_size: 64\n")
        shown = as_json(
            "train", service.ready_dataset(), "-f", str(tmp_path / "job.yaml"), "--image-size", "32",
            "--out", str(tmp_path / "model"),
        )  # fmt: skip
        assert isinstance(shown, dict)
        assert (shown["job"]["spec"]["image_size"], shown["job"]["spec"]["student"]) == (32, "resnet50")

    def test_takes_several_teachers_whose_names_go_before_the_files(
        self, service: Service, address: str, tmp_path: Path
    ) -> None:
        (tmp_path / "job.yaml").write_text("teacher: resnet18.a1\nstudent: resnet50\n")
        names = ["resnet18.a1_in1k", "vit_tiny_patch16_224.augreg_in21k"]
        options = [option for name in names for option in ("--teacher", name)]
        shown = as_json(
            "jobs", "create", "--dataset", service.ready_dataset(), "-f", str(tmp_path / "job.yaml"), *options
        )
        assert isinstance(shown, dict)
        assert (shown["spec"]["teacher"], shown["spec"]["teachers"]) == (None, names)
        assert f"{', '.join(names)} → resnet50" in run("jobs", "list").stdout

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            (["--student", "mobilenetv3"], "Did you mean mobilenetv3_small_050 or"),
            (["--set", "image_steps=1000"], "Did you mean 'distill.image_steps'?"),
            (["--set", "distill.seed=1"], "Did you mean 'seed'?"),
        ],
    )
    def test_says_what_is_wrong_with_the_job_before_anything_is_uploaded(
        self, service: Service, address: str, tmp_path: Path, wrong: list[str], says: str
    ) -> None:
        write_images(tmp_path / "photos", ("cat", "dog"))
        for command in (["train", str(tmp_path / "photos")], ["jobs", "create", "--dataset", str(tmp_path / "photos")]):
            said = run(*command, *MODELS[:2], *(() if "--student" in wrong else MODELS[2:]), *wrong, code=3).stderr
            assert says in said and "Uploading" not in said
        assert service.http.get("/v1/datasets").json()["data"] == []

    def test_says_that_a_folder_is_not_there_before_the_service_is_asked(self, address: str, tmp_path: Path) -> None:
        for command in (["train", str(tmp_path / "fotos")], ["jobs", "create", "--dataset", str(tmp_path / "fotos")]):
            said = run(*command, "--teacher", "nobody", "--student", "nothing", code=1).stderr
            assert said.startswith(f"There is no {tmp_path / 'fotos'}.") and "student" not in said

    def test_names_commands_where_the_service_names_routes(
        self, service: Service, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        missing = "job_01JCZ7R2M4K6H8G0F1E3D5C7B9"
        assert "There is no such job.\n`tdmr jobs list` lists your jobs." in run("jobs", "show", missing, code=3).stderr
        monkeypatch.setattr(sys, "argv", ["tdmr", "--json"])
        assert json.loads(run("jobs", "show", missing, "--json", code=3).stderr)["hint"].startswith("`tdmr jobs list`")
        told = re.escape("`client.jobs.list()` lists your jobs.")
        with Tdmr() as client, pytest.raises(NotFound, match=told) as failed:
            client.jobs.get(missing)
        assert failed.value.hint_as_sent == "GET /v1/jobs lists your jobs."

    def test_asks_which_data_set(self, address: str) -> None:
        for command in ("create", "estimate"):
            assert "Say which data set: --dataset" in run("jobs", command, *MODELS, code=2).stderr

    def test_ends_with_5_where_the_data_set_is_rejected(
        self, address: str, worker: ImportWorker, tmp_path: Path
    ) -> None:
        worker.reject = "The archive holds no image."
        (tmp_path / "notes.zip").write_bytes(b"no zip")
        assert "holds no image" in run("train", str(tmp_path / "notes.zip"), *MODELS, code=5).stderr


class TestLists:
    def test_say_that_there_is_nothing_or_more(self, service: Service, address: str) -> None:
        found = run("jobs", "list")
        assert (found.stdout, found.stderr) == ("", "There are none.\n")
        first, second = service.submit(), service.submit()
        found = run("jobs", "list", "--limit", "1")
        assert second in found.stdout and first not in found.stdout
        assert found.stderr == "These are the first 1; --limit shows more.\n"
        assert run("jobs", "list").stderr == ""
        assert run("students", "search", "no such name").stderr == "There are none.\n"


class TestWatch:
    def test_prints_lines_in_a_pipe_and_ends_with_the_verdict(self, service: Service, address: str) -> None:
        job_id = service.submit()
        claim = claimed(service.store, job_id)
        tell(service.store, claim, 3)
        finish(service.store, claim)

        said = run("watch", job_id)

        assert said.stderr == "Succeeded 100%  student accuracy 90.0%\n"
        assert f"get it  tdmr models pull {job_id}" in said.stdout

    def test_prints_an_object_a_line_for_programs(self, service: Service, address: str) -> None:
        job_id = service.submit()
        service.http.post(f"/v1/jobs/{job_id}/cancel")

        lines = [json.loads(line) for line in run("jobs", "watch", job_id, "--json", code=5).stdout.splitlines()]

        assert [line["type"] for line in lines][-1] == "end"
        assert lines[-1]["job"]["state"] == "cancelled"

    def test_draws_bar_and_curves_in_a_terminal(self, service: Service, address: str) -> None:
        job_id = service.submit()
        claim = claimed(service.store, job_id)
        for step in range(1, 9):
            tell(service.store, claim, step)
        finish(service.store, claim)

        seen = in_terminal("watch", job_id)

        assert "Succeeded" in seen and "100%" in seen and "loss  0.125" in seen
        assert any("\u2800" < letter < "\u28ff" for letter in seen)

    def test_ends_with_ctrl_c_and_says_how_to_come_back_while_the_job_goes_on(
        self, service: Service, front: Front, address: str
    ) -> None:
        job_id = service.submit()
        process = subprocess.Popen(
            [sys.executable, "-m", "tdmr.cli", "watch", job_id], stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        assert "Queued" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=WAIT_SECONDS)

        assert process.returncode == 130
        assert f"tdmr watch {job_id}" in said and "Traceback" not in said
        with Tdmr(front.url) as client:
            assert client.jobs.get(job_id).state == "queued"


class TestDatasets:
    def test_push_prints_the_id_and_the_others_take_it(
        self, service: Service, address: str, worker: ImportWorker, tmp_path: Path
    ) -> None:
        write_images(tmp_path / "photos", ("cat", "dog"))
        dataset_id = run("datasets", "push", str(tmp_path / "photos"), "--name", "pets").stdout.strip()

        assert run("datasets", "list").stdout.split("\t")[:3] == [dataset_id, "pets", "ready"]
        assert "pets" in run("datasets", "show", dataset_id).stdout
        assert "splits           4 train" in run("datasets", "report", dataset_id).stdout
        run("datasets", "report", dataset_id, "--html", str(tmp_path / "report.html"))
        assert "<html" in (tmp_path / "report.html").read_text()
        assert "Say --yes" in run("datasets", "rm", dataset_id, code=2).stderr
        run("datasets", "rm", dataset_id, "--yes")
        assert as_json("datasets", "list") == []

    def test_says_what_is_possible_where_the_classes_are_not_clear(
        self, service: Service, address: str, worker: ImportWorker, tmp_path: Path
    ) -> None:
        worker.ask = QUESTION
        write_images(tmp_path / "photos", ("cat", "dog"))
        said = run("datasets", "push", str(tmp_path / "photos"), code=5).stderr
        assert "It is not clear which classes photos.zip has" in said and "folders:2: 2 classes." in said
        [dataset] = service.http.get("/v1/datasets").json()["data"]
        assert f"tdmr datasets choose {dataset['id']} folders:1" in said
        assert "needs_answer" in run("datasets", "show", dataset["id"]).stdout
        assert "It is not clear" in run("train", dataset["id"], *MODELS, code=5).stderr
        assert run("datasets", "choose", dataset["id"], "folders:2").stdout.strip() == dataset["id"]
        assert "ready" in run("datasets", "show", dataset["id"]).stdout

    def test_push_takes_what_is_known_of_the_layout(
        self, service: Service, address: str, worker: ImportWorker, tmp_path: Path
    ) -> None:
        worker.ask = QUESTION
        write_images(tmp_path / "photos", ("cat", "dog"))
        known = ("--layout", "folders:2", "--unlabelled-class", "unknown", "--unlabelled-class", "other")
        dataset_id = run("datasets", "push", str(tmp_path / "photos"), *known).stdout.strip()
        with service.store.read() as session:
            options = session.get_one(Dataset, dataset_id).options
        assert options == {"layout": "folders:2", "unlabelled_classes": ["unknown", "other"]}

    def test_a_person_at_a_terminal_is_asked(
        self, service: Service, address: str, worker: ImportWorker, tmp_path: Path
    ) -> None:
        worker.ask = QUESTION
        write_images(tmp_path / "photos", ("cat", "dog"))
        seen = in_terminal("datasets", "push", str(tmp_path / "photos"), answers=("Which one is meant?", "folders:2"))
        assert "folders:1: 1 classes. (a, b)" in seen
        [dataset] = service.http.get("/v1/datasets").json()["data"]
        assert dataset["state"] == "ready" and dataset["id"] in seen


class TestJobs:
    def test_are_created_from_a_file_that_init_writes(self, service: Service, address: str, tmp_path: Path) -> None:
        path = tmp_path / "job.yaml"
        run("jobs", "init", "--out", str(path))
        job_id = run(
            "jobs", "create", "-f", str(path), "--dataset", service.ready_dataset(), "--key", "k"
        ).stdout.strip()

        assert run("jobs", "create", "-f", str(path), "--dataset", service.ready_dataset(), "--key", "k", code=3)
        shown = run("jobs", "show", job_id).stdout
        assert "resnet18.a1_in1k → mobilenetv3_small_050" in shown and "project=my-first" in shown
        assert run("jobs", "list", "--metadata", "project=my-first").stdout.startswith(job_id)
        assert "is there already" in run("jobs", "init", "--out", str(path), code=2).stderr

    def test_are_controlled_and_compared(self, service: Service, address: str) -> None:
        job_id, other = service.submit(), service.submit(seed=7)
        run("jobs", "pause", job_id)
        run("jobs", "resume", job_id)
        run("jobs", "cancel", job_id, other)
        again = run("jobs", "retry", job_id).stdout.strip()
        assert again != job_id and as_json("jobs", "show", again)["retry_of"] == job_id  # type: ignore[index]
        compared = run("jobs", "compare", job_id, other).stdout
        assert "seed\t0\t7\n" in compared and "state\tcancelled\tcancelled\n" in compared
        assert "submitted" in run("jobs", "logs", job_id).stdout
        assert run("jobs", "logs", job_id, "--follow").stdout == run("jobs", "logs", job_id).stdout
        assert "state_conflict" in run("jobs", "pause", job_id, code=3).stderr
        run("jobs", "rm", job_id, "-y")
        run("jobs", "show", job_id, code=3)


class TestModels:
    def test_pull_and_its_refusal(self, service: Service, address: str, tmp_path: Path) -> None:
        job_id = service.submit()
        assert "It is queued" in run("models", "pull", job_id, code=5).stderr
        publish(service, job_id, FILES)
        run("models", "pull", job_id, "--out", str(tmp_path / "model"))
        assert (tmp_path / "model" / "student.onnx").is_file()


class TestCatalogue:
    def test_is_searched_by_name_and_size(self, service: Service, address: str) -> None:
        found = run("students", "search", "--max-params", "1.2M").stdout
        assert found == "mobilenetv3_small_050\t1.0 M\tmobilenetv3\n"
        assert [card["name"] for card in as_json("teachers", "search", "vit")] == [  # type: ignore[attr-defined]
            "vit_tiny_patch16_224.augreg_in21k"
        ]
        assert "no number such as" in run("students", "search", "--max-params", "few", code=2).stderr


class TestAccess:
    def test_login_tries_the_service_and_remembers_it(
        self, service: Service, front: Front, surroundings: None, tmp_path: Path
    ) -> None:
        run("login", front.url, "--no-key")
        assert json.loads((tmp_path / "config.json").read_text())["base_url"] == front.url
        shown = run("status").stdout
        assert front.url in shown and "database" in shown
        assert as_json("status")["queued"] == 0  # type: ignore[index]

    def test_a_service_that_is_away_is_status_4(self, surroundings: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TDMR_BASE_URL", "http://127.0.0.1:9")
        said = run("status", code=4).stderr
        assert "cannot be reached" in said and "tdmr up" in said


def in_terminal(*arguments: str, answers: tuple[str, str] | None = None) -> str:
    """What the command writes to a terminal of 100 by 40. `answers`: a question, and what is typed then."""
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "LINES": "40", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tdmr.cli", *arguments],
        stdin=child,
        stdout=child,
        stderr=child,
        env=environment,
        close_fds=True,
    )
    os.close(child)
    seen, give_up = b"", time.monotonic() + WAIT_SECONDS
    while time.monotonic() < give_up:
        try:
            piece = os.read(parent, 65536)
        except OSError:  # how a terminal on Linux says that nobody writes any more
            break
        if not piece:
            break
        seen += piece
        if answers is not None and answers[0].encode() in seen:
            os.write(parent, f"{answers[1]}\n".encode())
            answers = None
    os.close(parent)
    process.wait(WAIT_SECONDS)
    return seen.decode(errors="replace")
