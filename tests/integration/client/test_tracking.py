"""The client and the service write one run, whoever comes first."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from tdmr import Tdmr, models
from tdmr.cli.root import tdmr
from tdmr.exports import MLflow
from tdmr.problems import TrackingNotConfigured
from tests.integration.client.conftest import Front
from tests.integration.conftest import Service
from tests.integration.tracking.mlflow_server import PASSWORD, USER, MLflowServer, running
from tests.integration.tracking.tracking_post import Post

TEACHER, STUDENT = "resnet18.a1_in1k", "mobilenetv3_small_050"


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """One kind is enough: both kinds are tested without the client."""
    return f"sqlite:///{tmp_path / 'store' / 'tdmr.db'}"


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
    with running(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture
def front(service: Service, mlflow: MLflowServer) -> Iterator[Front]:
    front = Front(service, changes={"mlflow_uri": SecretStr(mlflow.uri)})
    front.open()
    yield front
    front.close()


@pytest.fixture
def post(service: Service, front: Front, client: Tdmr, mlflow: MLflowServer) -> Post:
    """Whose runs link to where the client finds the service."""
    settings = service.settings.model_copy(update={"mlflow_uri": SecretStr(mlflow.uri), "public_url": front.url})
    return Post(Service(service.http, service.store, service.blobs, settings, service.tmp_path), "flowers")


def test_an_export_adds_nothing_to_what_the_service_has_logged(
    post: Post, client: Tdmr, mlflow: MLflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    track = models.Track(mlflow=models.MLflowTrack(experiment="flowers"))
    dataset = post.service.ready_dataset()
    job = client.jobs.create(dataset=dataset, teacher=TEACHER, student=STUDENT, metadata={"owner": "ann"}, track=track)
    assert job.tracking is not None and job.tracking.mlflow.state == "pending"
    post.end(post.start(job.id))
    assert post.log_due() == 1
    (logged,) = mlflow.runs("flowers")

    job.refresh()
    assert job.tracking.mlflow.url == job.export(MLflow(mlflow.address, experiment="flowers"))

    (exported,) = mlflow.runs("flowers")
    assert exported.data.to_dictionary() == logged.data.to_dictionary()
    assert exported.info.to_proto() == logged.info.to_proto()
    assert len(mlflow.history(exported, "distill/loss")) == 3
    # and the same from nothing, but for the note's time
    job.export(MLflow(mlflow.address, experiment="alone"))
    (alone,) = mlflow.runs("alone")
    assert alone.data.to_dictionary() == logged.data.to_dictionary()
    assert mlflow.files(alone) == mlflow.files(logged) != {}
    assert (alone.info.start_time, alone.info.end_time) == (logged.info.start_time, logged.info.end_time)


class TestCommand:
    @pytest.fixture(autouse=True)
    def _address(self, front: Front, surroundings: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TDMR_BASE_URL", front.url)

    @pytest.mark.parametrize(("given", "experiment"), [("mlflow", "tdmr"), ("mlflow=my flowers", "my flowers")])
    def test_asks_for_it(self, post: Post, client: Tdmr, given: str, experiment: str) -> None:
        options = ["--dataset", post.service.ready_dataset(), "--teacher", TEACHER, "--student", STUDENT]
        result = CliRunner().invoke(tdmr, ["jobs", "create", *options, "--track", given])
        assert result.exit_code == 0, result.output
        job = client.jobs.get(result.stdout.strip())
        assert job.tracking is not None and job.tracking.mlflow.experiment == experiment
        shown = CliRunner().invoke(tdmr, ["jobs", "show", job.id]).stdout
        assert f"pending, experiment {experiment}" in shown

    def test_a_job_yaml_asks_for_it_too(self, post: Post, client: Tdmr, tmp_path: Path) -> None:
        file = tmp_path / "job.yaml"
        file.write_text(f"teacher: {TEACHER}\nstudent: {STUDENT}\ntrack:\n  mlflow: {{experiment: flowers}}\n")
        dataset = post.service.ready_dataset()
        result = CliRunner().invoke(tdmr, ["jobs", "create", "-f", str(file), "--dataset", dataset])
        assert result.exit_code == 0, result.output
        job = client.jobs.get(result.stdout.strip())
        assert job.tracking is not None and job.tracking.mlflow.experiment == "flowers"

    @pytest.mark.parametrize("given", ["wandb", "mlflow=", ""])
    def test_refuses_another_tracker(self, given: str) -> None:
        result = CliRunner().invoke(tdmr, ["jobs", "create", "--track", given])
        assert result.exit_code == 2 and "is neither mlflow nor mlflow=EXPERIMENT" in result.stderr


def test_without_a_server_it_is_a_problem_of_its_own(service: Service, front: Front, client: Tdmr) -> None:
    with front.away():
        front.changes.clear()
    with pytest.raises(TrackingNotConfigured) as refused:
        client.jobs.create(dataset=service.ready_dataset(), teacher=TEACHER, student=STUDENT, track={"mlflow": {}})
    assert refused.value.hint is not None and "TDMR_MLFLOW_URI" in refused.value.hint
