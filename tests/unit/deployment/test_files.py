"""What developers and operators read says only what the code can do."""

import re
from pathlib import Path

import pytest

from app.settings import Settings

ROOT = Path(__file__).resolve().parents[3]


class TestSettings:
    def test_are_all_documented(self) -> None:
        documented = set(re.findall(r"^\| `(TDMR_\w+)`", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE))

        assert documented == {f"TDMR_{name.upper()}" for name in Settings.model_fields}

    def test_still_read_the_former_name_of_the_reconciler_s_interval(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TDMR_CARETAKER_SECONDS", "7")
        assert Settings().reconcile_seconds == 7
        monkeypatch.setenv("TDMR_RECONCILE_SECONDS", "8")
        assert Settings().reconcile_seconds == 8


class TestMakefile:
    def test_each_target_that_help_lists_is_phony(self) -> None:
        makefile = (ROOT / "Makefile").read_text()
        listed = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
        phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)

        assert phony is not None
        assert set(phony.group(1).split()) == listed
        assert {"demo", "up", "test", "test-faults", "help"} <= listed

    def test_ci_runs_what_make_test_runs(self) -> None:
        script = ROOT / ".ci" / "run"

        assert script.read_text().splitlines()[-1] == "make test"
        assert script.stat().st_mode & 0o111
