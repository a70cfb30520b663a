"""A job as the command line describes it, and what is said once it is queued."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import click

from tdmr import Dataset, Job, Tdmr
from tdmr.cli.jobfile import merged, parse_settings, parse_track, read_job
from tdmr.progress import duration

Command = TypeVar("Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--teacher", help="A name of `tdmr teachers search`."),
    click.option("--student", "students", multiple=True, help="A name of `tdmr students search`; may be repeated."),
    click.option("--method", help="How the student learns. [tdmr]"),
    click.option("--image-size", type=int, help="Side of the student's input in pixels. [160]"),
    click.option(
        "--track", callback=parse_track, metavar="mlflow[=EXPERIMENT]",
        help="Have the service log the job on its operator's MLflow server when it ends. [mlflow=tdmr]",
    ),
    click.option("-f", "--file", "file", help="A job.yaml with the rest; - is standard input."),
    click.option(
        "--set", "settings", multiple=True, callback=parse_settings, metavar="NAME=VALUE",
        help="Any other option of a job, such as distill.image_steps=60000; may be repeated.",
    ),
)  # fmt: skip

dataset_option = click.option("--dataset", help="A data set's id, or what to upload. Goes before the file's.")


def job_options(command: Command) -> Command:
    """Gives the command the options that `body_of` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def dataset_of(client: Tdmr, data: str) -> Dataset:
    """One that is there, or made of what is uploaded; ready either way."""
    if data.startswith("ds_") and not Path(data).exists():
        return client.datasets.get(data).wait(progress=True)
    return client.datasets.create(data)


def body_of(
    dataset: Dataset | None,
    *,
    teacher: str | None,
    students: tuple[str, ...],
    method: str | None,
    image_size: int | None,
    track: dict[str, Any] | None,
    file: str | None,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """The job: the file, then the options, which go before it."""
    body = read_job(file) if file else {}
    if students:
        body.pop("student", None)
        body.pop("students", None)
        body |= {"student": students[0]} if len(students) == 1 else {"students": list(students)}
    given = {
        "dataset_id": None if dataset is None else dataset.id,
        "teacher": teacher,
        "method": method,
        "image_size": image_size,
        "track": track,
    }
    body |= {name: value for name, value in given.items() if value is not None}
    return merged(body, settings)


def announce(job: Job) -> None:
    """Say what is known of its time, and what speaks against it."""
    if job.estimated_seconds is not None:
        click.echo(f"It takes about {duration(job.estimated_seconds)}{starting(job.estimated_start)}.", err=True)
    for warning in job.warnings:
        click.echo(f"! {warning}", err=True)


def starting(moment: datetime | None) -> str:
    """ ", and begins in about 5 min 0 s"; nothing where that is at once, or not known."""
    seconds = 0.0 if moment is None else (moment - datetime.now(timezone.utc)).total_seconds()
    return f", and begins in about {duration(seconds)}" if seconds >= 1 else ""
