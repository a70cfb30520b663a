"""`tdmr jobs estimate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from tdmr import Tdmr, models
from tdmr.cli.common import print_facts, print_json, with_client
from tdmr.cli.submission import dataset_option, job_of, job_options, starting
from tdmr.progress import duration, size


@click.command()
@dataset_option
@job_options
@with_client
def estimate(client: Tdmr, dataset: str | None, as_json: bool, **options: Any) -> None:
    """Say what a job would take, and what speaks against it. Nothing is queued.

    \b
    tdmr jobs estimate -f job.yaml
    tdmr jobs estimate --dataset ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC --method scratch --student mobilenetv3_small_050
    """
    _, body = job_of(client, dataset, **options)
    estimated = client.jobs.estimate_submission(body)
    if as_json:
        print_json(estimated)
        return
    print_facts(facts_of(estimated))
    for warning in [*estimated.warnings, *(f"{limit.setting}: {limit.detail}" for limit in estimated.limits)]:
        click.echo(f"! {warning}")


def facts_of(estimated: models.Estimate) -> Sequence[tuple[str, object]]:
    return [
        ("time", f"{_range(estimated.seconds, duration)}{starting(estimated.estimated_start)}"),
        *((f"  {stage}", _range(seconds, duration)) for stage, seconds in estimated.stages.items()),
        ("memory", _range(estimated.memory_bytes, size)),
        ("device memory", _range(estimated.device_memory_bytes, size)),
        ("cache", None if estimated.cache_bytes is None else size(estimated.cache_bytes)),
        ("files", size(estimated.storage_bytes)),
        ("machines", ", ".join(estimated.machines)),
        ("known from", "measurements" if estimated.measured else "measurements of other networks"),
        *((f"no {name}", reason) for name, reason in estimated.unknown.items()),
    ]


def _range(found: models.Range | None, shown: Callable[[float], str]) -> str:
    return "" if found is None else f"{shown(found.expected)} ({shown(found.low)} – {shown(found.high)})"
