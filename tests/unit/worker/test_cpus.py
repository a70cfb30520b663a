"""How many threads a training process gets."""

import os
from pathlib import Path

import pytest

from app.settings import Settings
from worker import cpus


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> int:
    """Of the affinity; with no variable of OpenMP set."""
    for name in (*cpus.PASSIVE, "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return len(os.sched_getaffinity(0))


class TestAvailable:
    @pytest.mark.parametrize(
        ("name", "content"), [("cpu.max", "50000 100000\n"), ("cpu/cpu.cfs_quota_us", "50000\n")], ids=["v2", "v1"]
    )
    def test_is_what_the_container_may_use(self, tmp_path: Path, cores: int, name: str, content: str) -> None:
        (tmp_path / "cpu").mkdir()
        (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
        (tmp_path / name).write_text(content)
        assert cpus.available(tmp_path) == 1  # half a core is one thread

    @pytest.mark.parametrize("content", [None, "max 100000\n", "6400000 100000\n"])
    def test_is_what_the_affinity_allows_where_there_is_no_tighter_quota(
        self, tmp_path: Path, cores: int, content: str | None
    ) -> None:
        if content is not None:
            (tmp_path / "cpu.max").write_text(content)
        assert cpus.available(tmp_path) == min(cores, 64)


class TestEnvironment:
    def test_tells_a_child_its_threads_and_to_wait_passively(self, settings: Settings, cores: int) -> None:
        environment = cpus.environment(settings.model_copy(update={"threads": 3}))
        assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "3"
        assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
        assert cpus.threads(settings) == cpus.available() <= cores

    def test_leaves_alone_what_the_operator_has_set(
        self, settings: Settings, cores: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
        monkeypatch.setenv("OMP_NUM_THREADS", "5")
        environment = cpus.environment(settings)
        assert "OMP_WAIT_POLICY" not in environment
        assert environment["OMP_NUM_THREADS"] == "5"
