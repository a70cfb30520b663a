"""The deployment's files, read as its tools read them."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from app.cli import main

ROOT = Path(__file__).resolve().parents[3]
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:-|:\?)([^}]*))?\})")


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    """docker-compose.yml as it is written."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


@pytest.fixture(scope="session")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


@pytest.fixture(scope="session")
def ours(services: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The services that run our code, by name."""
    return {name: service for name, service in services.items() if service["image"] in {"tdmr-api", "tdmr-worker"}}


@pytest.fixture(scope="session")
def dockerfile() -> str:
    return (ROOT / "Dockerfile.gpu").read_text()


@pytest.fixture(scope="session")
def stages(dockerfile: str) -> dict[str, str]:
    """The Dockerfile's stages by name, each from its base's name on."""
    found = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)[1:]
    return {stage.split()[2]: stage for stage in found}


@pytest.fixture(scope="session")
def parse() -> Callable[[list[str]], click.Context]:
    """What click makes of a command line; raises where there is no such command or option."""

    def parse(command: list[str]) -> click.Context:
        assert command[0] == "tdmr"
        return main.commands[command[1]].make_context(command[1], list(command[2:]))

    return parse


@pytest.fixture(scope="session")
def interpolate() -> Callable[[Any, Mapping[str, str]], Any]:
    """Fill in `${NAME}` as Compose does.

    Raises:
        LookupError: if `${NAME:?…}` is not set.
    """

    def fill(value: Any, environment: Mapping[str, str]) -> Any:
        if isinstance(value, dict):
            return {key: fill(inner, environment) for key, inner in value.items()}
        if isinstance(value, list):
            return [fill(inner, environment) for inner in value]
        if not isinstance(value, str):
            return value

        def variable(found: re.Match[str]) -> str:
            dollar, name, how, other = found.groups()
            if dollar:
                return "$"
            if not environment.get(name) and how == ":?":
                raise LookupError(name)
            return environment.get(name) or other or ""

        return _VARIABLE.sub(variable, value)

    return fill
