"""Whose files they are: nobody's but the service's, whoever made them and when."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import main
from app.private import keep_private
from app.settings import Settings


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """What users have."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def made_before(home: Path) -> None:
    """As earlier versions left it."""
    for name in ("tdmr.db", "tdmr.db-wal", "blobs/jobs/job_1/e1/student.onnx", "scratch/jobs/job_1/out/a.ckpt"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()


class TestKeepPrivate:
    def test_closes_a_home_of_an_earlier_version(self, settings: Settings) -> None:
        made_before(settings.root)
        keep_private(settings)
        (settings.root / "new").mkdir()
        (settings.root / "new" / "file").touch()
        for path in (settings.root, *settings.root.rglob("*")):
            assert mode(path) == (0o700 if path.is_dir() else 0o600), path

    def test_closes_a_cache_elsewhere(self, settings: Settings, tmp_path: Path) -> None:
        cache = tmp_path / "cache"
        (cache / "squares").mkdir(parents=True)
        keep_private(settings.model_copy(update={"cache_dir": cache}))
        assert (mode(cache), mode(cache / "squares")) == (0o700, 0o700)

    def test_leaves_alone_what_is_not_the_services(self, settings: Settings, tmp_path: Path) -> None:
        made_before(settings.root)
        for path in (settings.root / "notes.txt", tmp_path / "elsewhere"):
            path.touch()
        (settings.root / "blobs" / "link").symlink_to(tmp_path / "elsewhere")
        keep_private(settings)
        assert mode(settings.root / "notes.txt") == mode(tmp_path / "elsewhere") == 0o644

    def test_goes_through_a_home_once(self, settings: Settings) -> None:
        """There may be millions of files."""
        made_before(settings.root)
        keep_private(settings)
        opened = settings.root / "blobs" / "jobs"
        opened.chmod(0o755)  # by its operator, who wants it so
        keep_private(settings)
        assert mode(opened) == 0o755

    def test_bears_that_there_is_no_home_yet(self, settings: Settings) -> None:
        keep_private(settings)
        assert not settings.root.exists()


class TestCommands:
    @pytest.mark.parametrize(("command", "umask"), [("up", 0o077), ("api", 0o077), ("worker", 0o077), ("demo", 0o022)])
    def test_keep_files_private_unless_they_are_their_users(self, command: str, umask: int) -> None:
        assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0
        assert os.umask(0o022) == umask

    def test_make_a_home_that_is_private(self, tmp_path: Path) -> None:
        home = tmp_path / "home"
        environment = {**os.environ, "TDMR_HOME": str(home)}
        subprocess.run([sys.executable, "-m", "app.cli", "migrate"], env=environment, check=True, capture_output=True)
        assert (mode(home), mode(home / "tdmr.db")) == (0o700, 0o600)
