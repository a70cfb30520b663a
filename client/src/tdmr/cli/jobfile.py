"""`job.yaml`: a job as it is sent, in YAML or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import yaml

SCHEMA = "job.schema.json"


def read_job(path: str) -> dict[str, Any]:
    """
    Args:
        path: `-` is standard input.

    Raises:
        click.UsageError: it is no mapping.
    """
    with click.open_file(path, encoding="utf-8") as file:
        try:
            # every JSON document is one of YAML, too
            body = yaml.safe_load(file)
        except yaml.YAMLError as error:
            raise click.UsageError(f"{path} cannot be read: {error}") from None
    if not isinstance(body, dict):
        raise click.UsageError(f"{path} holds no job. `tdmr jobs init` writes one to begin with.")
    return body


def schema() -> dict[str, Any]:
    """The JSON Schema of a job."""
    found: dict[str, Any] = json.loads(files("tdmr").joinpath(SCHEMA).read_text(encoding="utf-8"))
    return found


def merged(body: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """`body` with the options of a command line, where `distill.image_steps` names one inside another."""
    result = json.loads(json.dumps(body))
    for name, value in settings.items():
        *outer, last = name.split(".")
        place = result
        for key in outer:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise click.UsageError(f"{key} is no group of options.")
        place[last] = value
    found: dict[str, Any] = result
    return found


def parse_settings(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """`--set distill.image_steps=60000`: the value is YAML."""
    settings: dict[str, Any] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{value!r} is not of the form name=value")
        # the user's own labels are texts, also where they look like numbers
        settings[name] = text if name.startswith("metadata.") else yaml.safe_load(text)
    return settings


def parse_track(_context: click.Context, _option: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """`--track mlflow=flowers`: the kind of tracker, and what it takes."""
    if value is None:
        return None
    kind, equals, experiment = value.partition("=")
    if kind != "mlflow" or (equals and not experiment):
        raise click.BadParameter(f"{value!r} is neither mlflow nor mlflow=EXPERIMENT")
    return {kind: {"experiment": experiment} if experiment else {}}


def template(path: Path) -> str:
    """A job to begin with, whose first line tells editors where the schema is."""
    return f"""\
# yaml-language-server: $schema={path}
dataset_id: ds_…                    # or: tdmr jobs create -f job.yaml --dataset photos/
teacher: resnet18.a1_in1k           # tdmr teachers search; or teachers: [one, another]
student: mobilenetv3_small_050      # tdmr students search
image_size: 96
distill:
  image_steps: 60000
export:
  formats: [onnx, torchscript]
metadata:
  project: my-first
"""
