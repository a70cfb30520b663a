"""`tdmr demo`: the whole way, shown."""

import subprocess
import sys

import click


@click.command()
@click.option(
    "--teacher", metavar="NAME", help="A teacher to distil from instead of the one that comes with the project."
)
@click.option("--seed", type=click.IntRange(min=0), help="Fixes the data's split and the training.")
@click.option("--labels-per-class", type=click.IntRange(min=1), help="How many images of each class keep their label.")
@click.option("--out", type=click.Path(file_okay=False), help="Folder for the data and the downloaded students.")
def demo(teacher: str | None, seed: int | None, labels_per_class: int | None, out: str | None) -> None:
    """Distil a student for handwritten digits, from the upload to the download.

    Starts the service on a free port of this machine, uploads a data set with very few labels, runs a job through the
    public API, downloads the student and checks it as downloaded. Needs the extras `worker` and `demo`. Unless
    --teacher names one from timm's hub it needs no network.
    """
    options = {"--teacher": teacher, "--seed": seed, "--labels-per-class": labels_per_class, "--out": out}
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    sys.exit(subprocess.call([sys.executable, "-m", "worker.demo", *given]))
