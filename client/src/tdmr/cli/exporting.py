"""`tdmr jobs export`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tdmr import Tdmr
from tdmr.cli.common import print_json, with_client
from tdmr.exports import Hub, MLflow, Target, TensorBoard, WandB

_TOOLS: dict[str, tuple[Callable[..., Target], dict[str, str]]] = {
    "hub": (Hub, {"out": "folder", "student": "student", "licence": "licence", "push": "push"}),
    "mlflow": (MLflow, {"uri": "uri", "experiment": "experiment", "files": "files"}),
    "tensorboard": (TensorBoard, {"out": "folder"}),
    "wandb": (WandB, {"project": "project", "entity": "entity", "mode": "mode", "files": "files"}),
}
"""Of each tool, the options that it takes as its own."""


@click.command()
@click.argument("job")
@click.option("--to", "tool", required=True, type=click.Choice(sorted(_TOOLS)), help="The tool.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="hub, tensorboard: the folder. [JOB, runs]"
)
@click.option("--student", help="hub: which one, of a job with several.")
@click.option("--license", "licence", help="hub: under which you publish it, such as apache-2.0. [unknown]")
@click.option("--push", metavar="REPOSITORY", help="hub: also upload the folder; a new repository is private.")
@click.option("--uri", help="mlflow: the tracking server or store. [MLFLOW_TRACKING_URI]")
@click.option("--experiment", help="mlflow: its name. [tdmr]")
@click.option("--project", help="wandb: its name. [tdmr]")
@click.option("--entity", help="wandb: a user or team. [that of the key]")
@click.option("--offline", "mode", flag_value="offline", help="wandb: write a folder for `wandb sync`.")
@click.option("--no-files", "files", flag_value=False, default=None, help="mlflow, wandb: only options and figures.")
@with_client
def export(client: Tdmr, job: str, tool: str, as_json: bool, **given: Any) -> None:
    """Show JOB in another tool: options, curves, results, the model's files. Where it is to be seen is printed.

    hub writes a model folder as Hugging Face keeps them, which timm.create_model loads. The others take jobs in any
    state; exporting a job again adds what is new. Files that name images of the data set are never exported.

    \b
    tdmr jobs export job_01JCZ7R2M4K6H8G0F1E3D5C7B9 --to hub --out flowers/
    tdmr jobs export job_01JCZ7R2M4K6H8G0F1E3D5C7B9 --to mlflow --uri http://127.0.0.1:5000
    tdmr jobs export job_01JCZ7R2M4K6H8G0F1E3D5C7B9 --to tensorboard --out runs/
    tdmr jobs export job_01JCZ7R2M4K6H8G0F1E3D5C7B9 --to wandb --offline
    """
    make, names = _TOOLS[tool]
    options = {name: value for name, value in given.items() if value is not None}
    if unknown := sorted(set(options) - set(names)):
        raise click.UsageError(f"--to {tool} takes no --{_OPTIONS.get(unknown[0], unknown[0])}.")
    if tool == "hub":
        options.setdefault("out", Path(job))
    # its own seven would keep a person waiting for minutes, in silence, where the server is away
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    place = client.jobs.get(job).export(make(**{names[name]: value for name, value in options.items()}))
    if as_json:
        print_json({"job": job, "tool": tool, "place": place})
    else:
        click.echo(place)


_OPTIONS = {"licence": "license", "mode": "offline", "files": "no-files"}
