"""What a health check asks."""

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.db.engine import Store
from app.db.migrate import upgrade
from app.services import catalog
from app.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a service that has been migrated."""
    monkeypatch.setenv("TDMR_HOME", str(tmp_path / "home"))
    settings = Settings()
    upgrade(settings.database)
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
        store = Store(settings.database)
        with store.write() as session:
            catalog.announce(session, socket.gethostname(), "datasets", settings.device, None)
        store.close()
        after, other = check("--queue=datasets"), check("--queue=training")

        assert (before.exit_code, after.exit_code, other.exit_code) == (1, 0, 1)
        assert "worker: away" in before.output
        assert "worker: ok" in after.output
