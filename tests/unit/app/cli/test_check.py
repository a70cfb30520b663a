"""What a health check asks."""

import re
import socket
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.db.engine import Store
from app.db.models import Worker, utcnow
from app.services import catalog, workers
from app.settings import Settings
from tests.databases import migrate


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a service that has been migrated."""
    monkeypatch.setenv("TDMR_HOME", str(tmp_path / "home"))
    settings = Settings()
    migrate(settings.database)
    return settings


def check(*options: str) -> Result:
    return CliRunner().invoke(main, ["check", *options])


class TestCheck:
    def test_is_content_when_everything_answers(self, settings: Settings) -> None:
        said = check()
        assert (said.exit_code, said.output) == (0, "database: ok\nbroker: ok\nstorage: ok\n")

    def test_names_what_does_not(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TDMR_BROKER_URL", "redis://127.0.0.1:1/0")
        said = check()
        assert said.exit_code == 1
        assert "broker: away" in said.output
        assert "database: ok" in said.output

    def test_a_database_without_our_tables_does_not_do(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TDMR_HOME", str(tmp_path))
        said = check("--queue=datasets")
        assert said.exit_code == 1
        assert "database: away" in said.output

    def test_a_worker_is_there_once_it_has_announced_itself(self, settings: Settings) -> None:
        before = check("--queue=datasets")
        register(settings)
        after, other = check("--queue=datasets"), check("--queue=training")

        assert (before.exit_code, after.exit_code, other.exit_code) == (1, 0, 1)
        assert "worker: away" in before.output
        assert "worker: ok" in after.output

    @pytest.mark.parametrize("options", [(), ("--queue=datasets",)], ids=["every worker", "this host's"])
    def test_a_worker_gives_signs_of_life(self, settings: Settings, options: tuple[str, ...]) -> None:
        register(settings, silent=timedelta(seconds=settings.lease_seconds + 30))
        said = check(*options)
        assert said.exit_code == 1
        assert re.search(r": no sign of life for (89|9\d) s$", said.output, re.MULTILINE)

        register(settings)
        assert check(*options).exit_code == 0

    def test_every_worker_is_asked_for_that_was_not_told_to_stop(self, settings: Settings) -> None:
        register(settings, "lost", silent=timedelta(minutes=5))
        register(settings, "forgotten", silent=timedelta(days=8))
        register(settings, "told to stop", silent=timedelta(minutes=5), stopped=True)
        register(settings, "alive")

        said = check().output

        assert f"datasets worker on lost ({settings.device}): no sign of life" in said
        assert f"datasets worker on alive ({settings.device}): ok" in said
        assert said.count("worker") == 2

    @pytest.mark.parametrize("options", [(), ("--queue=datasets",)], ids=["every worker", "this host's"])
    def test_an_import_worker_that_is_to_log_jobs_has_what_it_needs(
        self, settings: Settings, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TDMR_MLFLOW_URI", "http://ann:5ecret@mlflow.example")
        monkeypatch.setitem(sys.modules, "mlflow", None)
        register(settings)
        said = check(*options)
        assert said.exit_code == 1
        assert "mlflow: TDMR_MLFLOW_URI is set, but MLflow is not installed here." in said.output
        assert "pip install 'tdmr[mlflow]'" in said.output and "5ecret" not in said.output

        monkeypatch.delenv("TDMR_MLFLOW_URI")
        assert check(*options).exit_code == 0

    def test_a_host_without_an_import_worker_needs_no_mlflow(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TDMR_MLFLOW_URI", "http://mlflow.example")
        monkeypatch.setitem(sys.modules, "mlflow", None)
        register(settings, "another")
        assert check().exit_code == 0

    def test_an_address_that_is_none_is_refused_without_being_shown(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TDMR_MLFLOW_URI", "postgresql://ann:5ecret@db/mlflow")
        said = check()
        assert said.exit_code == 1
        assert "TDMR_MLFLOW_URI: must be the address of a server" in said.output and "5ecret" not in said.output

    def test_one_that_was_told_to_stop_does_not_do_for_its_own_check(self, settings: Settings) -> None:
        register(settings, stopped=True)

        assert check("--queue=datasets").exit_code == 1


def register(
    settings: Settings, host: str = socket.gethostname(), *, silent: timedelta = timedelta(), stopped: bool = False
) -> None:
    """A worker that has registered, and was silent for so long."""
    store = Store(settings.database)
    with store.write() as session:
        worker_id = catalog.register(session, host, "datasets", settings.device, None)
        session.get_one(Worker, worker_id).seen_at = utcnow() - silent
        if stopped:
            workers.say_goodbye(session, worker_id)
    store.close()
