"""`tdmr train` and `tdmr watch`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tdmr import Job, Tdmr
from tdmr.cli.common import print_facts, print_json, with_client
from tdmr.cli.reading import reading_options
from tdmr.cli.submission import announce, job_of, job_options
from tdmr.cli.verdict import verdict
from tdmr.cli.watching import follow


@click.command()
@click.argument("data")
@job_options
@reading_options
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for the student. [the job's id]")
@with_client
def train(client: Tdmr, data: str, out: Path | None, as_json: bool, reading: dict[str, Any], **options: Any) -> None:
    """Upload DATA, train, download the student, and say how good it is.

    DATA is a folder with one folder per class, an archive, the address of one, or the id of a data set.

    \b
    tdmr train photos/ --teacher resnet18.a1_in1k --student mobilenetv3_small_050 --out model/
    tdmr train ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC -f job.yaml --set distill.image_steps=60000

    Ctrl-C leaves the job running; what is printed then leads back to it. An interrupted upload goes on when the same
    command is given again.
    """
    dataset, body = job_of(client, data, reading, **options)
    assert dataset is not None
    job = client.jobs.submit(body)
    click.echo(
        f"{job.id} on {dataset.name}: {dataset.images or 0:,} images, {dataset.class_count or 0} classes", err=True
    )
    announce(job)
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
