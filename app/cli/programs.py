"""`tdmr worker` and `tdmr demo`: programs of `worker/`, which `app/` never imports and therefore starts by name."""

import os
import subprocess
import sys

import click

from app.cli.common import read_settings
from app.queue import DATASETS_QUEUE, TRAINING_QUEUE


@click.command()
@click.option(
    "--queue",
    type=click.Choice([TRAINING_QUEUE, DATASETS_QUEUE]),
    required=True,
    help="`training` runs jobs (needs the extra `worker`); `datasets` checks uploads (needs no torch).",
)
@click.option("--device", help="Device to train on: auto, cpu, cuda, cuda:1, … [TDMR_DEVICE, or auto]")
def worker(queue: str, device: str | None) -> None:
    """Run one worker. It handles one job or upload at a time.

    Start one training worker for each GPU, with --device. On SIGTERM or Ctrl-C a training worker writes a
    checkpoint, returns its job to the queue and exits; another worker continues the job.
    """
    settings = read_settings(device=device)
    # this process becomes the worker, which reads its settings from the environment
    os.environ["TDMR_DEVICE"] = settings.device
    os.execv(sys.executable, [sys.executable, "-m", "worker", "--queue", queue])  # noqa: S606 (no shell is the point)


@click.command()
@click.option("--teacher", metavar="NAME", help="Teacher to distil from. [the bundled one]")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the split and the training.")
@click.option("--labels-per-class", type=click.IntRange(min=1), help="Number of labelled images per class.")
@click.option("--out", type=click.Path(file_okay=False), help="Folder for the data and the downloaded students.")
def demo(teacher: str | None, seed: int | None, labels_per_class: int | None, out: str | None) -> None:
    """Distil a student for handwritten digits, from upload to download.

    Starts the service on a free port of this machine, uploads a data set with very few labels, runs a job through the
    public API, downloads the student and checks the downloaded file. Needs the extra `worker`, and no network unless
    --teacher names a teacher from timm's hub.
    """
    options = {"--teacher": teacher, "--seed": seed, "--labels-per-class": labels_per_class, "--out": out}
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    sys.exit(subprocess.call([sys.executable, "-m", "worker.demo", *given]))
