"""`tdmr train` and `tdmr watch`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tdmr import Dataset, Job, Tdmr
from tdmr.cli.common import print_facts, print_json, with_client
from tdmr.cli.jobfile import merged, parse_settings, read_job
from tdmr.cli.verdict import verdict
from tdmr.cli.watching import follow

set_option = click.option(
    "--set", "settings", multiple=True, callback=parse_settings, metavar="NAME=VALUE",
    help="Any other option of a job, such as distill.image_steps=60000; may be repeated.",
)  # fmt: skip
file_option = click.option("-f", "--file", "file", help="A job.yaml with the rest; - is standard input.")


@click.command()
@click.argument("data")
@click.option("--teacher", help="A name of `tdmr teachers search`.")
@click.option("--student", "students", multiple=True, help="A name of `tdmr students search`; may be repeated.")
@click.option("--method", help="How the student learns. [tdmr]")
@click.option("--image-size", type=int, help="Side of the student's input in pixels. [160]")
@file_option
@set_option
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for the student. [the job's id]")
@with_client
def train(
    client: Tdmr,
    data: str,
    teacher: str | None,
    students: tuple[str, ...],
    method: str | None,
    image_size: int | None,
    file: str | None,
    settings: dict[str, Any],
    out: Path | None,
    as_json: bool,
) -> None:
    """Upload DATA, train, download the student, and say how good it is.

    DATA is a folder with one folder per class, an archive, the address of one, or the id of a data set.

    \b
    tdmr train photos/ --teacher resnet18.a1_in1k --student mobilenetv3_small_050 --out model/
    tdmr train ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC -f job.yaml --set distill.image_steps=60000

    Ctrl-C leaves the job running; what is printed then leads back to it. An interrupted upload goes on when the same
    command is given again.
    """
    dataset = dataset_of(client, data)
    job = client.jobs.submit(body_of(dataset, teacher, students, method, image_size, file, settings))
    click.echo(
        f"{job.id} on {dataset.name}: {dataset.images or 0:,} images, {dataset.class_count or 0} classes", err=True
    )
    for warning in job.warnings:
        click.echo(f"! {warning}", err=True)
    follow(job)
    folder = out or Path(job.id)
    job.download(folder)
    facts = verdict(job)
    if as_json:
        print_json({"job": job.model_dump(mode="json"), "folder": str(folder)})
    else:
        print_facts([*facts, ("folder", folder)])
        click.echo(f"Try it: tdmr predict {folder} photo.jpg", err=True)


@click.command()
@click.argument("job")
@click.option("--no-curves", is_flag=True, help="Only the bar.")
@with_client
def watch(client: Tdmr, job: str, no_curves: bool, as_json: bool) -> None:
    """Follow JOB to its end: bar and curves in a terminal, lines elsewhere, and with --json an object a line.

    Watching survives restarts of the service. Ctrl-C ends the watching and not the job. The exit status is 5 if the job
    ends without success.

    \b
    tdmr watch job_01JCZ7R2M4K6H8G0F1E3D5C7B9
    tdmr watch job_01JCZ7R2M4K6H8G0F1E3D5C7B9 --json | jq -c 'select(.type == "metrics")'
    """
    found = client.jobs.get(job)
    if as_json:
        for update in found.stream():
            click.echo(update.model_dump_json())
        found.check()
        return
    watched(found, curves=not no_curves)


def watched(job: Job, *, curves: bool = True) -> None:
    """Follow it, and say what came of it."""
    follow(job, curves=curves)
    print_facts([*verdict(job), ("get it", f"tdmr models pull {job.id}")])


def dataset_of(client: Tdmr, data: str) -> Dataset:
    """One that is there, or made of what is uploaded; ready either way."""
    if data.startswith("ds_") and not Path(data).exists():
        return client.datasets.get(data).wait(progress=True)
    return client.datasets.create(data)


def body_of(
    dataset: Dataset | None,
    teacher: str | None,
    students: tuple[str, ...],
    method: str | None,
    image_size: int | None,
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
    }
    body |= {name: value for name, value in given.items() if value is not None}
    return merged(body, settings)
