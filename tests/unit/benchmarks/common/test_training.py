"""A run of the training harness as the benchmarks see it: real processes on a small archive."""

import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks.common.data import Subset
from benchmarks.common.setting import Setting, changed
from benchmarks.common.training import Interrupted, Machine, RunFailed, run_training

pytestmark = pytest.mark.slow

SETTING = Setting(
    teacher="test_resnet.random", teacher_size=32, student="test_resnet", image_size=32, image_steps=32, batch_size=8
)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "cache")


def spec(method: str = "scratch", **changes: Any) -> dict[str, Any]:
    return SETTING.spec(method, 0, {"reprogram.steps": 4, "views.count": 2, **changes})


class TestRunTraining:
    def test_tells_what_came_out_and_what_it_took(self, archive: Path, machine: Machine, tmp_path: Path) -> None:
        outcome = run_training(spec(), Subset(archive, 4, 0).folder(tmp_path), machine)
        assert set(outcome.manifests) == {"test_resnet"}
        assert 0 <= outcome.manifest["metrics"]["student_accuracy"] <= 1
        assert 0 <= outcome.curves["val_accuracy"] <= 1
        assert outcome.seconds >= sum(outcome.manifest["seconds"][stage] for stage in ("prepare", "distill"))
        assert outcome.peak_rss_mib is not None and outcome.peak_anonymous_mib is not None
        assert outcome.peak_rss_mib > outcome.peak_anonymous_mib == max(outcome.anonymous_mib.values()) > 50

    def test_a_failure_keeps_its_words(self, archive: Path, machine: Machine, tmp_path: Path) -> None:
        with pytest.raises(RunFailed, match=r"^model_not_buildable: timm has no architecture 'no_such_net'"):
            run_training(changed(spec(), {"student": "no_such_net"}), Subset(archive, 4, 0).folder(tmp_path), machine)

    def test_ends_when_asked_to(self, archive: Path, machine: Machine, tmp_path: Path) -> None:
        stop = threading.Event()
        stop.set()
        with pytest.raises(Interrupted):
            run_training(spec(), Subset(archive, 4, 0).folder(tmp_path), machine, stop)


class TestSetting:
    def test_changes_go_by_dotted_names_and_leave_the_original(self) -> None:
        original = spec()
        other = changed(original, {"reprogram.taps": "last", "seed": 3})
        assert (other["reprogram"]["taps"], other["seed"], other["reprogram"]["image_size"]) == ("last", 3, 32)
        assert "taps" not in original["reprogram"]

    def test_names_teacher_and_student_only_where_the_method_has_them(self) -> None:
        assert spec("scratch")["teacher"] is None
        assert spec("probe")["student"] is None
        assert (spec("kd")["teacher"], spec("kd")["student"]) == ("test_resnet.random", "test_resnet")
