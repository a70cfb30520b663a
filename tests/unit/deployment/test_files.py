"""The files that deploy the service say only what the code can do."""

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from app.cli import main
from app.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = (ROOT / "Dockerfile.gpu").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("tdmr-")]


def parse(command: list[str]) -> click.Context:
    """What click makes of a command line; raises where there is no such command or option."""
    assert command[0] == "tdmr"
    return main.commands[command[1]].make_context(command[1], list(command[2:]))


def dockerfile_commands() -> list[list[str]]:
    return [json.loads(line.removeprefix("CMD ")) for line in DOCKERFILE.splitlines() if line.startswith("CMD ")]


class TestCommands:
    @pytest.mark.parametrize("name", OURS)
    def test_compose_starts_commands_that_there_are(self, name: str) -> None:
        parse(SERVICES[name]["command"])

    def test_the_dockerfile_starts_commands_that_there_are(self) -> None:
        commands = dockerfile_commands()
        assert len(commands) == 2
        for command in commands:
            parse(command)

    def test_the_documentation_names_commands_that_there_are(self) -> None:
        shown = re.findall(r"`(tdmr [a-z][^`]*)`", (ROOT / "docs" / "running.md").read_text())
        assert len(shown) >= 5
        for command in shown:
            parse(command.split())


class TestCompose:
    def test_runs_every_part(self) -> None:
        assert set(SERVICES) == {"migrate", "api", "worker-datasets", "worker-training", "postgres", "redis"}

    def test_sets_only_settings_that_there_are(self) -> None:
        names = {f"TDMR_{name.upper()}" for name in Settings.model_fields}
        for name in OURS:
            assert set(SERVICES[name]["environment"]) <= names

    def test_starts_nothing_before_the_migration(self) -> None:
        for name in set(OURS) - {"migrate"}:
            assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}

    def test_waits_only_for_services_that_tell_their_health(self) -> None:
        for service in SERVICES.values():
            for other, how in service.get("depends_on", {}).items():
                assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[other]

    def test_has_no_password_of_its_own(self) -> None:
        secrets = re.findall(r"(?:PASSWORD|API_KEY)(?:: |:)(.*)", (ROOT / "docker-compose.yml").read_text())
        values = [value for value in secrets if "$" in value or value.strip()]
        assert all(value.startswith(("${", "?")) for value in values), values

    def test_reserves_a_gpu_for_training(self) -> None:
        (device,) = SERVICES["worker-training"]["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]

    def test_gives_a_stopping_job_longer_than_its_own_grace(self) -> None:
        training = SERVICES["worker-training"]
        grace = float(training["environment"]["TDMR_STOP_GRACE_SECONDS"])
        assert int(training["stop_grace_period"].rstrip("s")) > grace

    def test_shows_nothing_but_the_api_and_that_on_loopback(self) -> None:
        assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
            "api": ["127.0.0.1:8000:8000"]
        }

    def test_mounts_volumes_that_there_are_where_the_image_has_folders(self) -> None:
        for name in OURS:
            for mount in SERVICES[name].get("volumes", []):
                volume, target = mount.split(":")
                assert volume in COMPOSE["volumes"]
                assert target in {"/blobs", "/data", "/models"}


class TestImages:
    def test_are_pinned(self) -> None:
        bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
        images = [base for base in bases if ":" in base] + [SERVICES[name]["image"] for name in ("postgres", "redis")]
        assert len(images) == 3
        assert all(re.search(r":\d+\.\d+", image) for image in images)
        assert re.search(r"uv==\d", DOCKERFILE)

    def test_each_target_that_compose_builds_is_a_stage_and_not_root(self) -> None:
        stages = {
            re.match(r"\S+ AS (\S+)", stage).group(1): stage  # type: ignore[union-attr]
            for stage in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
        }
        for name in OURS:
            assert "USER tdmr" in stages[SERVICES[name]["build"]["target"]]

    def test_copy_what_the_package_consists_of(self) -> None:
        copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
        names = {name for line in copied for name in line.split()}
        assert {"app", "worker", "migrations", "pyproject.toml", "requirements.lock"} <= names
        assert all((ROOT / name).exists() for name in names)


class TestSettings:
    def test_are_all_documented(self) -> None:
        documented = set(re.findall(r"^\| `(TDMR_\w+)`", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE))

        assert documented == {f"TDMR_{name.upper()}" for name in Settings.model_fields}


class TestMakefile:
    def test_each_target_that_help_lists_is_phony(self) -> None:
        makefile = (ROOT / "Makefile").read_text()
        listed = set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))
        phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)

        assert phony is not None
        assert set(phony.group(1).split()) == listed
        assert {"demo", "up", "test", "help"} <= listed

    def test_ci_runs_what_make_test_runs(self) -> None:
        script = ROOT / ".ci" / "run"

        assert script.read_text().splitlines()[-1] == "make test"
        assert script.stat().st_mode & 0o111
