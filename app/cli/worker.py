"""`tdmr worker`: one worker process."""

import os
import sys

import click

from app.cli.common import read_settings
from app.queue import DATASETS_QUEUE, TRAINING_QUEUE


@click.command()
@click.option(
    "--queue",
    type=click.Choice([TRAINING_QUEUE, DATASETS_QUEUE]),
    required=True,
    help="What it does: `training` runs jobs (needs the extra `worker`), `datasets` checks uploads (no torch needed).",
)
@click.option("--device", help="Where it trains: auto, cpu, cuda, cuda:1, … [TDMR_DEVICE, or auto]")
def worker(queue: str, device: str | None) -> None:
    """Run one worker, which does one thing at a time.

    Start one training worker for each GPU, with --device. On SIGTERM or Ctrl-C a training worker lets its job write a
    checkpoint, hands it back to the queue and ends; another worker goes on with it.
    """
    settings = read_settings(device=device)
    # The service's rooms never import the worker's, so this process becomes another program. It reads its settings from
    # the environment.
    os.environ["TDMR_DEVICE"] = settings.device
    os.execv(sys.executable, [sys.executable, "-m", "worker", "--queue", queue])  # noqa: S606 (no shell is the point)
