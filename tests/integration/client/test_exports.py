"""A job in other tools: read back with each tool's own reader."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from mlflow.entities import Run

from app.services.leases import JobClaim
from tdmr import Job, Tdmr
from tdmr.cli.root import tdmr
from tdmr.errors import Missing, NoModel
from tdmr.exports import Hub, MLflow, Target, TensorBoard, WandB
from tests.integration.client.conftest import Front, publish
from tests.integration.client.student import small_student
from tests.integration.conftest import Service
from tests.integration.jobs.test_live import claimed, finish, tell

IMAGES_NAMED = {"evaluation.json": b"{}", "answers.csv": b"path\n", "data_review.json": b"{}"}
LOSSES = pytest.approx({1: 1.0, 2: 1 / 2, 3: 1 / 3})
FILES = small_student() | {"curves.svg": b"<svg/>"} | IMAGES_NAMED


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """One kind is enough: what is exported comes over the API."""
    return f"sqlite:///{tmp_path / 'store' / 'tdmr.db'}"


@pytest.fixture(scope="module")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of MLflow with its tables, which take seconds to make."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow_uri(empty_mlflow: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tools that write where they are."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    yield


@pytest.fixture
def running(service: Service) -> tuple[str, JobClaim]:
    """A job with three points."""
    job_id = service.submit(metadata={"owner": "ann"}, distill={"image_steps": 1000})
    claim = claimed(service.store, job_id)
    for step in (1, 2, 3):
        tell(service.store, claim, step)
    return job_id, claim


@pytest.fixture
def job(service: Service, client: Tdmr) -> Job:
    """A succeeded one, with files."""
    job = client.jobs.get(service.submit(metadata={"owner": "ann"}, distill={"image_steps": 1000}))
    publish(service, job.id, FILES)
    return job.refresh()


class TestTensorBoard:
    def test_reads_the_curves_and_the_results(self, running: tuple[str, JobClaim], client: Tdmr) -> None:
        job = client.jobs.get(running[0])

        place = job.export(TensorBoard("runs"))

        found = read_events(place)
        assert place == f"runs/{job.id}"
        assert {point.step: point.value for point in found.Scalars("distill/loss")} == LOSSES

    def test_shows_each_point_once_after_another_export(
        self, service: Service, running: tuple[str, JobClaim], client: Tdmr
    ) -> None:
        job_id, claim = running
        client.jobs.get(job_id).export(TensorBoard("runs"))
        tell(service.store, claim, 4)
        found = read_events(client.jobs.get(job_id).export(TensorBoard("runs")))
        assert [point.step for point in found.Scalars("distill/loss")] == [1, 2, 3, 4]


def read_events(folder: str) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    return EventAccumulator(folder).Reload()


class TestMLflow:
    def test_has_one_run_with_options_results_and_files(self, job: Job, mlflow_uri: str) -> None:
        job.export(MLflow(mlflow_uri))
        job.export(MLflow(mlflow_uri))  # and nothing is there twice

        store = MlflowClient(mlflow_uri)
        run = only_run(store, "tdmr")
        assert run.info.status == "FINISHED"
        assert run.info.run_name.startswith("resnet18.a1_in1k → mobilenetv3_small_050")
        assert (run.data.params["distill.image_steps"], run.data.params["seed"]) == ("1000", "0")
        assert run.data.metrics["student_accuracy"] == 0.75 == run.data.metrics["evaluation/student_top1"]
        assert len(store.get_metric_history(run.info.run_id, "student_accuracy")) == 1
        assert run.data.tags["tdmr.job_id"] == job.id and run.data.tags["metadata.owner"] == "ann"
        assert run.data.tags["tdmr.dataset_digest"] == "d" * 64
        names = {one.path for one in store.list_artifacts(run.info.run_id)}
        assert names == set(FILES) - set(IMAGES_NAMED)
        got = store.download_artifacts(run.info.run_id, "student.onnx", ".")
        assert Path(got).read_bytes() == FILES["student.onnx"]

    def test_adds_what_is_new_of_a_job_that_goes_on(
        self, service: Service, running: tuple[str, JobClaim], client: Tdmr, mlflow_uri: str
    ) -> None:
        job_id, claim = running
        job, target = client.jobs.get(job_id), MLflow(mlflow_uri, experiment="mine")
        job.export(target)
        assert only_run(MlflowClient(mlflow_uri), "mine").info.status == "RUNNING"
        tell(service.store, claim, 4)
        finish(service.store, claim)
        job.export(target)

        store = MlflowClient(mlflow_uri)
        run = only_run(store, "mine")
        points = store.get_metric_history(run.info.run_id, "distill/loss")
        assert sorted(one.step for one in points) == [1, 2, 3, 4]
        assert (run.info.status, run.data.metrics["distill/loss"]) == ("FINISHED", 0.25)
        assert run.data.metrics["student_accuracy"] == 0.9


def only_run(store: MlflowClient, experiment: str) -> Run:
    found = store.get_experiment_by_name(experiment)
    assert found is not None
    [run] = store.search_runs([found.experiment_id])
    return run


class TestWandB:
    def test_writes_a_run_for_sync(self, running: tuple[str, JobClaim], client: Tdmr) -> None:
        job = client.jobs.get(running[0])

        place = Path(job.export(WandB(mode="offline")))

        [written] = place.glob("*.wandb")
        losses, config = read_wandb(written)
        assert losses == LOSSES
        assert config["metadata.owner"] == "ann" and config["distill"]["image_steps"] == 1000

    def test_is_whole_when_the_call_returns(self, running: tuple[str, JobClaim], client: Tdmr) -> None:
        """Weights & Biases writes most of a run after it has ended, so one of a few runs was without its curves."""
        job = client.jobs.get(running[0])
        for _ in range(8):
            [written] = Path(job.export(WandB(mode="offline"))).glob("*.wandb")
            assert read_wandb(written)[0] == LOSSES

    def test_leaves_a_run_of_the_caller_alone(self, running: tuple[str, JobClaim], client: Tdmr) -> None:
        with wandb.init(project="mine", mode="offline", settings=wandb.Settings(silent=True, console="off")) as mine:
            place = Path(client.jobs.get(running[0]).export(WandB(mode="offline")))
            assert place != Path(mine.dir).parent
            assert wandb.run is mine
            mine.log({"loss": 1.0})  # raises where the run has ended


def read_wandb(path: Path) -> tuple[dict[int, float], dict[str, Any]]:
    """The loss by step, and the configuration, in the file that `wandb sync` sends: LevelDB's log of protobufs."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, losses, config, whole, at = path.read_bytes(), dict[int, float](), dict[str, Any](), b"", 7
    while at < len(data):
        if LOG_BLOCK - at % LOG_BLOCK < 7:  # no room for a head: the block is filled up
            at += LOG_BLOCK - at % LOG_BLOCK
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (2, 3):  # the first piece of several, or one in the middle
            continue
        record, whole = Record.FromString(whole), b""
        config |= {one.key: json.loads(one.value_json) for one in record.run.config.update}
        row = {".".join(one.nested_key) or one.key: json.loads(one.value_json) for one in record.history.item}
        if "distill/loss" in row:
            losses[row["distill/step"]] = row["distill/loss"]
    return losses, config


LOG_BLOCK = 32768


class TestHub:
    def test_needs_a_student(self, running: tuple[str, JobClaim], client: Tdmr) -> None:
        with pytest.raises(NoModel, match="has no student to export"):
            client.jobs.get(running[0]).export(Hub("hub"))
        assert not Path("hub").exists()

    def test_is_a_folder_with_what_timm_reads(self, job: Job) -> None:
        job.export(Hub("hub", licence="mit"))

        config = json.loads(Path("hub/config.json").read_text())
        assert (config["architecture"], config["label_names"]) == ("small", ["cat", "dog"])
        assert config["pretrained_cfg"]["crop_pct"] == 0.8 and config["pretrained_cfg"]["input_size"] == [3, 8, 8]
        assert Path("hub/model.safetensors").read_bytes() == FILES["student.safetensors"]
        assert 'license: "mit"' in Path("hub/README.md").read_text()
        assert not any((Path("hub") / name).exists() for name in IMAGES_NAMED)


@pytest.mark.parametrize(
    ("target", "package", "extra"),
    [
        (MLflow(), "mlflow", "mlflow"),
        (TensorBoard(), "tensorboardX", "tensorboard"),
        (WandB(), "wandb", "wandb"),
        (Hub("hub", push="you/cats"), "huggingface_hub", "hub"),
    ],
)
def test_a_package_that_is_not_there_is_named(
    target: Target, package: str, extra: str, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Missing, match=rf"{package} is not installed\..* pip install 'tdmr-client\[{extra}\]'"):
        job.export(target)


class TestCommand:
    @pytest.fixture(autouse=True)
    def _address(self, front: Front, surroundings: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TDMR_BASE_URL", front.url)

    def test_prints_where_it_is_to_be_seen(self, job: Job, mlflow_uri: str) -> None:
        assert run("jobs", "export", job.id, "--to", "tensorboard", "--out", "here").stdout == f"here/{job.id}\n"
        shown = json.loads(run("jobs", "export", job.id, "--to", "mlflow", "--uri", mlflow_uri, "--json").stdout)
        assert shown["place"].endswith(f"in {mlflow_uri}") and shown["tool"] == "mlflow"

    def test_refuses_what_a_tool_does_not_take(self, job: Job) -> None:
        said = run("jobs", "export", job.id, "--to", "mlflow", "--license", "mit", code=2).stderr
        assert "--to mlflow takes no --license" in said

    def test_ends_with_1_where_a_package_is_missing(self, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "mlflow", None)
        said = run("jobs", "export", job.id, "--to", "mlflow", code=1).stderr
        assert said == "mlflow is not installed. This export needs: pip install 'tdmr-client[mlflow]'\n"


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(tdmr, arguments)
    assert result.exit_code == code, (result.output, result.exception)
    return result
