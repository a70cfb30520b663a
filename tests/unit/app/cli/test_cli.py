"""The console script: what it says, what it refuses, and the embedded service as real processes."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import main
from app.cli.common import announced, read_url
from app.cli.up import MOST_RESTARTS
from app.settings import Settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TDMR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


class TestHelp:
    @pytest.mark.parametrize("command", ["up", "api", "worker", "migrate", "check", "demo"])
    def test_explains_each_command_and_option(self, command: str) -> None:
        said = CliRunner().invoke(main, [command, "--help"])

        assert said.exit_code == 0
        assert all(getattr(option, "help", None) for option in main.commands[command].params)
        assert len(main.commands[command].help or "") > 80


class TestRefusals:
    @pytest.mark.parametrize("command", ["api", "up"])
    def test_does_not_listen_beyond_loopback_without_a_key(self, home: Path, command: str) -> None:
        said = CliRunner().invoke(main, [command, "--host=0.0.0.0"])

        assert said.exit_code == 1
        assert "TDMR_API_KEY" in said.output
        assert not (home / "service.json").exists()

    def test_names_the_variable_that_is_wrong(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TDMR_LEASE_SECONDS", "soon")

        said = CliRunner().invoke(main, ["migrate"])

        assert said.exit_code == 1
        assert "TDMR_LEASE_SECONDS: " in said.output
        assert "Traceback" not in said.output

    def test_does_not_start_a_service_that_could_not_log_its_jobs(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TDMR_MLFLOW_URI", "http://mlflow.example")
        monkeypatch.setitem(sys.modules, "mlflow", None)
        said = CliRunner().invoke(main, ["up"])
        assert said.exit_code == 1
        assert "pip install 'tdmr[mlflow]'" in said.output

    def test_a_worker_needs_to_know_its_queue(self) -> None:
        assert "--queue" in CliRunner().invoke(main, ["worker"]).output


class TestMigrate:
    def test_makes_the_database_and_may_be_repeated(self, home: Path) -> None:
        for _ in range(2):
            said = CliRunner().invoke(main, ["migrate"])
            assert (said.exit_code, "up to date" in said.output) == (0, True)

        assert (home / "tdmr.db").is_file()

    def test_does_not_show_the_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TDMR_DATABASE_URL", "postgresql+psycopg://someone:secret@127.0.0.1:1/none")

        said = CliRunner().invoke(main, ["migrate"])

        assert (said.exit_code, "secret" in said.output) == (1, False)
        assert "127.0.0.1:1" in said.output

    def test_says_of_a_database_of_a_later_version_which_one_to_run(self, home: Path) -> None:
        CliRunner().invoke(main, ["migrate"])
        with contextlib.closing(sqlite3.connect(home / "tdmr.db", isolation_level=None)) as database:
            database.execute("UPDATE alembic_version SET version_num = 'later'")

        said = CliRunner().invoke(main, ["migrate"])
        assert said.exit_code == 1
        assert said.output.startswith("Error: The database has the schema of another version.")


class TestUselessPlaces:
    @pytest.mark.parametrize("command", [["migrate"], ["up", "--port=0"], ["api", "--port=0"], ["check"]], ids=" ".join)
    @pytest.mark.parametrize("place", ["a file", "nowhere", "below a file"])
    def test_end_a_command_in_one_line(
        self, command: list[str], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        homes = {"a file": tmp_path / "file", "nowhere": Path("/proc/nowhere"), "below a file": tmp_path / "file" / "a"}
        monkeypatch.setenv("TDMR_HOME", str(homes[place]))

        said = CliRunner().invoke(main, command)
        assert said.exit_code == 1
        last = said.output.splitlines()[-1]
        assert last.startswith("Error: ") and " cannot be used: " in last
        assert isinstance(said.exception, SystemExit)

    @pytest.mark.parametrize("command", [["migrate"], ["keys", "list"]], ids=" ".join)
    def test_a_file_that_is_no_database(self, command: list[str], home: Path) -> None:
        home.mkdir()
        (home / "tdmr.db").write_bytes(b"not a database" * 1000)

        said = CliRunner().invoke(main, command)
        assert (said.exit_code, said.output) == (1, "Error: The database cannot be used: file is not a database\n")

    @pytest.mark.parametrize("url", ["nonsense", "nosuch://someone:secret@host/x"])
    def test_a_url_of_no_database(self, url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TDMR_DATABASE_URL", url)
        said = CliRunner().invoke(main, ["migrate"])
        assert (said.exit_code, said.output) == (1, "Error: TDMR_DATABASE_URL is no URL of SQLite or Postgres.\n")


class TestServiceFile:
    def test_is_there_while_the_service_listens(self, tmp_path: Path) -> None:
        settings = Settings(home=tmp_path)
        assert read_url(settings) is None

        with announced(settings, "http://127.0.0.1:8123", 1):
            assert read_url(settings) == "http://127.0.0.1:8123"

        assert read_url(settings) is None


@pytest.mark.slow
class TestUp:
    @pytest.fixture
    def service(self, home: Path) -> Iterator["subprocess.Popen[str]"]:
        with subprocess.Popen(
            [sys.executable, "-m", "app.cli", "up", "--port=0"],
            env={**os.environ, "TDMR_HOME": str(home), "TDMR_HUB": "false"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as service:
            yield service
            service.kill()

    @staticmethod
    def url_of(service: "subprocess.Popen[str]", home: Path) -> str:
        assert service.stdout is not None
        said = service.stdout.readline()
        url: str = json.loads((home / "service.json").read_bytes())["url"]
        assert url in said
        return url

    @staticmethod
    def children_of(pid: int) -> list[int]:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    @staticmethod
    def wait_until_gone(pids: list[int]) -> None:
        def runs(pid: int) -> bool:
            try:
                return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
            except FileNotFoundError:
                return False

        while any(runs(pid) for pid in pids):  # pytest's own time limit ends it
            time.sleep(0.05)

    def test_serves_and_stops_cleanly(self, service: "subprocess.Popen[str]", home: Path) -> None:
        with urllib.request.urlopen(f"{self.url_of(service, home)}/healthz") as answer:
            assert answer.status == 200
        children = self.children_of(service.pid)
        assert len(children) == 3

        service.send_signal(signal.SIGTERM)

        assert service.wait() == 0
        self.wait_until_gone(children)
        assert not (home / "service.json").exists()

    def test_refuses_a_second_service_in_the_same_home(self, service: "subprocess.Popen[str]", home: Path) -> None:
        url = self.url_of(service, home)

        said = CliRunner().invoke(main, ["up", "--port=0"])

        assert (said.exit_code, url in said.output) == (1, True)

    def test_stops_everything_when_the_api_ends(self, service: "subprocess.Popen[str]", home: Path) -> None:
        self.url_of(service, home)
        children = self.children_of(service.pid)

        os.kill(children[0], signal.SIGKILL)

        assert service.wait() == 1
        self.wait_until_gone(children)

    def test_starts_a_worker_again_but_not_for_ever(self, service: "subprocess.Popen[str]", home: Path) -> None:
        self.url_of(service, home)
        api, worker, other = self.children_of(service.pid)

        for _ in range(MOST_RESTARTS):
            os.kill(worker, signal.SIGKILL)
            while worker in (children := self.children_of(service.pid)) or len(children) < 3:
                time.sleep(0.05)
            (worker,) = set(children) - {api, other}
        assert service.poll() is None

        os.kill(worker, signal.SIGKILL)

        assert service.wait() == 1
        self.wait_until_gone([api, other])

    def test_leaves_nothing_behind_when_it_is_killed(self, service: "subprocess.Popen[str]", home: Path) -> None:
        self.url_of(service, home)
        children = self.children_of(service.pid)

        service.kill()

        service.wait()
        self.wait_until_gone(children)
