"""docs/operations.md and docs/running.md name only what there is."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from app.domain.errors import CATALOGUE
from app.settings import Settings
from tests.documents import code_blocks

Services = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def guide(root: Path) -> str:
    return (root / "docs" / "operations.md").read_text()


class TestGuide:
    @pytest.mark.parametrize("page", ["running.md", "operations.md"])
    def test_names_commands_that_there_are(
        self, page: str, root: Path, parse: Callable[[list[str]], click.Context]
    ) -> None:
        text = (root / "docs" / page).read_text()
        shown = re.findall(r"`(tdmr [a-z][^`]*)`", text) + re.findall(r"^(tdmr .*)$", text, re.MULTILINE)
        assert len(shown) >= 5
        for command in shown:
            parse(command.split())

    def test_names_settings_that_there_are(self, guide: str) -> None:
        named = set(re.findall(r"TDMR_[A-Z_]+", guide))
        assert len(named) > 15
        assert named <= {f"TDMR_{name.upper()}" for name in Settings.model_fields}

    def test_names_figures_that_there_are(self, guide: str, root: Path) -> None:
        named = set(re.findall(r"^\| `(tdmr_\w+)", guide, re.MULTILINE))
        told = set(re.findall(r'"(tdmr_\w+)"', (root / "app" / "api" / "telemetry.py").read_text()))
        assert len(named) == 8
        assert {name.removesuffix("_total") for name in named} <= told

    def test_links_pages_that_there_are(self, guide: str, root: Path) -> None:
        pages = set(re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", guide))
        assert len(pages) >= 4
        assert all((root / "docs" / page).is_file() for page in pages), pages

    def test_names_problems_that_there_are(self, guide: str) -> None:
        named = set(re.findall(r"(?:fails as|503|507|`failed`,) `(\w+)`", guide))
        assert len(named) >= 6
        assert named <= set(CATALOGUE)

    def test_its_compose_commands_name_services_that_there_are(self, guide: str, services: Services) -> None:
        lines = [line for block in code_blocks(guide, "") for line in block.splitlines() if "docker compose " in line]
        addressed = [re.search(r"docker compose (exec|run|stop|up|build)(.*)", line) for line in lines]
        assert len(addressed) >= 9
        for line in addressed:
            assert line is not None, "another subcommand: teach this test its arguments"
            options = [word for word in line[2].split() if not word.startswith("-")]
            if line[1] in {"exec", "run"}:
                assert options[0] in services
            else:
                assert set(options) <= set(services), line[0]

    def test_names_volumes_that_there_are(self, guide: str, compose: dict[str, Any]) -> None:
        named = set(re.findall(r"\(`tdmr_([a-z0-9-]+)`\)", guide))
        assert named >= {"postgres", "s3", "models"}
        assert named <= set(compose["volumes"])

    def test_its_compose_file_is_one(self, guide: str, services: Services, tmp_path: Path) -> None:
        (content,) = code_blocks(guide, "yaml")
        file = tmp_path / "docker-compose.override.yml"
        file.write_text(content)
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", file]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout
        assert re.findall(r"service: ([\w-]+)", content) == ["worker-training"]
