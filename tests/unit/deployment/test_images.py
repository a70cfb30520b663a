"""The images hold what they must, and no more."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Services = dict[str, dict[str, Any]]


class TestImages:
    def test_are_pinned(self, dockerfile: str, services: Services) -> None:
        bases = re.findall(r"^FROM (\S+:\S+)", dockerfile, re.MULTILINE)
        images = bases + [service["image"] for service in services.values() if "build" not in service]
        assert len(images) == 4
        assert all(re.search(r":v?\d+\.\d+\.?\d*", image) for image in images), images
        assert re.search(r"uv==\d", dockerfile)

    def test_each_target_that_compose_builds_is_a_stage(self, services: Services, stages: dict[str, str]) -> None:
        targets = {service["build"]["target"] for service in services.values() if "build" in service}
        assert targets == {"api", "worker", "s3"}
        assert targets <= set(stages)

    def test_start_commands_that_there_are(self, dockerfile: str, parse: Callable[[list[str]], click.Context]) -> None:
        commands = [json.loads(line) for line in re.findall(r"^CMD (.*)$", dockerfile, re.MULTILINE)]
        ours = [command for command in commands if command[0] == "tdmr"]
        assert len(ours) == 2
        for command in ours:
            parse(command)

    def test_only_the_worker_s_has_what_trains(self, stages: dict[str, str]) -> None:
        extras = {name: re.findall(r"--extra (\w+)", stage) for name, stage in stages.items() if "--extra" in stage}
        assert extras == {"build-api": ["api", "s3", "mlflow"], "build-worker": ["worker", "s3"]}
        assert "--from=build-api " in stages["api"]
        assert "--from=build-worker " in stages["worker"]

    def test_install_the_versions_of_the_lock(self, stages: dict[str, str]) -> None:
        for stage in stages.values():
            for line in re.findall(r"^RUN uv pip install (.*)$", stage, re.MULTILINE):
                assert line.startswith(("-c requirements.lock ", "--no-deps "))

    def test_copy_what_the_package_consists_of_and_docker_lets_through(self, root: Path, dockerfile: str) -> None:
        copied = {
            name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE) for name in line.split()
        }
        ignored = (root / ".dockerignore").read_text().splitlines()
        assert {"app", "worker", "migrations", "pyproject.toml", "requirements.lock"} <= copied
        assert all((root / name).exists() for name in copied)
        assert "*" in ignored
        assert {line[1:] for line in ignored if line.startswith("!")} == copied
