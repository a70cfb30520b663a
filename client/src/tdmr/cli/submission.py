"""A job as the command line describes it, and what is said once it is queued."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import click

from tdmr import APIError, Dataset, Job, Tdmr
from tdmr._sources import is_address, local
from tdmr.cli.jobfile import merged, parse_settings, parse_track, read_job
from tdmr.cli.reading import cleared
from tdmr.progress import duration

Command = TypeVar("Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--teacher", "teachers", multiple=True, help="A name of `tdmr teachers search`; may be repeated."),
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

_WRONG = 422

dataset_option = click.option("--dataset", help="A data set's id, or what to upload. Goes before the file's.")


def job_options(command: Command) -> Command:
    """Gives the command the options that `body_of` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def job_of(
    client: Tdmr, data: str | None, reading: Mapping[str, Any] | None = None, **options: Any
) -> tuple[Dataset | None, dict[str, Any]]:
    """The data set, which is there or is made of what is uploaded and is ready either way, and the job.

    `reading`: how what is uploaded is to be read. What is wrong with the job is said before anything is uploaded.
    """
    body = body_of(**options)
    if data is None:
        if not body.get("dataset_id"):
            raise click.UsageError("Say which data set: --dataset, or dataset_id in the file.")
        return None, body
    if data.startswith("ds_") and not Path(data).exists():
        dataset = cleared(client, lambda: client.datasets.get(data).wait(progress=True))
    else:
        if not is_address(data):
            local(data)
        _require_right(client, body)
        dataset = cleared(client, lambda: client.datasets.create(data, **(reading or {})))
    return dataset, body | {"dataset_id": dataset.id}


def _require_right(client: Tdmr, body: dict[str, Any]) -> None:
    """All but the data set, which is not there yet."""
    try:
        client.jobs.estimate_submission(body | {"dataset_id": "ds_none_yet"})
    except APIError as refused:
        if refused.status == _WRONG:  # that there is no such data set is another one, and so are a busy service's
            raise


def body_of(
    *,
    teachers: tuple[str, ...],
    students: tuple[str, ...],
    method: str | None,
    image_size: int | None,
    track: dict[str, Any] | None,
    file: str | None,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """The job without its data set, unless the file names one: the file, then the options, which go before it."""
    body = read_job(file) if file else {}
    for one, names in (("teacher", teachers), ("student", students)):
        if names:
            body.pop(one, None)
            body.pop(f"{one}s", None)
            body |= {one: names[0]} if len(names) == 1 else {f"{one}s": list(names)}
    given = {
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
