"""`tdmr jobs`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from tdmr import Job, Tdmr, models
from tdmr._display import teacher_to_student
from tdmr.cli.common import confirmed, print_facts, print_json, print_table, why, with_client, yes_option
from tdmr.cli.estimating import estimate
from tdmr.cli.exporting import export
from tdmr.cli.jobfile import SCHEMA, schema, template
from tdmr.cli.submission import announce, dataset_option, job_of, job_options
from tdmr.cli.train import watch, watched
from tdmr.cli.verdict import verdict
from tdmr.progress import duration
from tdmr.updates import shown_values

_COMPARED = 10
"""So many jobs the service compares at once."""
_STATES = ("queued", "running", "paused", "succeeded", "failed", "cancelled")


@click.group()
def jobs() -> None:
    """Create jobs, follow and control them."""


jobs.add_command(watch)
jobs.add_command(estimate)
jobs.add_command(export)


@jobs.command()
@dataset_option
@job_options
@click.option("--key", help="Idempotency key: a second call with it returns the same job.")
@click.option("--watch", "and_watch", is_flag=True, help="Follow it to its end.")
@with_client
def create(client: Tdmr, dataset: str | None, key: str | None, and_watch: bool, as_json: bool, **options: Any) -> None:
    """Queue a job and print its id.

    \b
    tdmr jobs create -f job.yaml
    tdmr jobs create --dataset ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC --method scratch --student mobilenetv3_small_050
    """
    _, body = job_of(client, dataset, **options)
    job = client.jobs.submit(body, idempotency_key=key)
    announce(job)
    if as_json:
        print_json(job)
    else:
        click.echo(job.id)
    if and_watch:
        watched(job)


@jobs.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default="job.yaml", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the schema instead of writing anything.")
def init(out: Path, as_json: bool) -> None:
    """Write a job.yaml to begin with, and its JSON Schema beside it, with which editors complete and check it.

    \b
    tdmr jobs init --out job.yaml
    tdmr jobs init --json > job.schema.json
    """
    if as_json:
        print_json(schema())
        return
    if out.exists():
        raise click.UsageError(f"{out} is there already.")
    beside = out.with_name(SCHEMA)
    beside.write_text(json.dumps(schema(), indent=1), encoding="utf-8")
    out.write_text(template(Path(beside.name)), encoding="utf-8")
    click.echo(f"{out} and {beside} are written.", err=True)


@jobs.command("list")
@click.option(
    "--state", "states", multiple=True, type=click.Choice(_STATES), help="Only in this state; may be repeated."
)
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Only with this pair; may be repeated.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@with_client
def list_(client: Tdmr, states: tuple[str, ...], metadata: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List jobs, newest first.

    \b
    tdmr jobs list --state failed
    tdmr jobs list --metadata owner=ann --json | jq -r '.[].id'
    """
    pairs = dict(pair.split("=", 1) for pair in metadata if "=" in pair)
    found = client.jobs.list(state=states or None, metadata=pairs, limit=limit).to_list()
    if as_json:
        print_json(found)
        return
    rows = (
        (job.id, job.state, f"{job.progress:.0%}", _models(job), _accuracy(job), f"{job.created_at:%F %H:%M}")
        for job in found
    )
    print_table(("id", "state", "done", "teacher → student", "accuracy", "created"), rows, limit)


@jobs.command()
@click.argument("job")
@with_client
def show(client: Tdmr, job: str, as_json: bool) -> None:
    """Show a job: state, progress, figures, and why it failed."""
    found = client.jobs.get(job)
    if as_json:
        print_json(found)
        return
    print_facts([
        ("id", found.id),
        ("state", found.state),
        ("failed", why(found.error)),
        ("stage", found.stage),
        ("progress", f"{found.progress:.0%}"),
        ("left", None if found.eta_seconds is None else duration(found.eta_seconds)),
        ("queue", f"place {found.queue.position}, {found.queue.reason}" if found.queue else None),
        ("data set", found.dataset_id),
        ("models", _models(found)),
        ("metadata", ", ".join(f"{key}={value}" for key, value in found.metadata.items())),
        ("created", f"{found.created_at:%F %H:%M}"),
        ("MLflow", _tracking(found)),
        *(verdict(found) if found.state == "succeeded" else [("figures", shown_values(found.metrics))]),
    ])  # fmt: skip
    for warning in found.warnings:
        click.echo(f"! {warning}")


@jobs.command()
@click.argument("job")
@click.option("--follow", "-F", is_flag=True, help="Go on as more happens, to the end of the job.")
@with_client
def logs(client: Tdmr, job: str, follow: bool, as_json: bool) -> None:
    """Print what happened to a job, a line for each event.

    \b
    tdmr jobs logs job_01JCZ7R2M4K6H8G0F1E3D5C7B9 --follow
    """
    events: Iterable[models.JobEvent]
    if follow:
        events = (update for update in client.jobs.get(job).stream() if isinstance(update, models.JobEvent))
    else:
        events = (event for event in client.jobs.events(job))
    for event in events:
        if as_json:
            click.echo(event.model_dump_json())
        else:
            click.echo(f"{event.created_at:%F %H:%M:%S}  {event.kind:7}  {event.code:20}  {event.message}")


def _action(name: str, act: Callable[[Tdmr], Callable[[str], Job]], said: str, told: str) -> None:
    @jobs.command(name, help=told)
    @click.argument("ids", nargs=-1, required=True, metavar="JOB…")
    @with_client
    def run(client: Tdmr, ids: tuple[str, ...], as_json: bool) -> None:
        changed = [act(client)(job) for job in ids]
        if as_json:
            print_json(changed)
            return
        for before, job in zip(ids, changed, strict=True):
            click.echo(job.id if job.id != before else f"{job.id} {said}", err=job.id == before)


_action("pause", lambda client: client.jobs.pause, "pauses.", "Pause jobs; a running one writes a checkpoint first.")
_action("resume", lambda client: client.jobs.resume, "is queued again.", "Let paused jobs go on.")
_action("cancel", lambda client: client.jobs.cancel, "is cancelled.", "Stop jobs for good.")
_action("retry", lambda client: client.jobs.retry, "", "Try failed or cancelled jobs again, and print the new ids.")
_action("rerun", lambda client: client.jobs.rerun, "", "Run ended jobs again from the start, and print the new ids.")


@jobs.command()
@click.argument("ids", nargs=-1, required=True, metavar="JOB JOB…")
@with_client
def compare(client: Tdmr, ids: tuple[str, ...], as_json: bool) -> None:
    """Put jobs side by side: what was asked for, and what came of it.

    \b
    tdmr jobs compare job_01JCZ7R2M4K6H8G0F1E3D5C7B9 job_01JCZ7R2M4K6H8G0F1E3D5C7BA
    """
    found = [client.jobs.get(job) for job in ids]
    if as_json:
        print_json(found)
        return
    rows = [
        ("state", *(job.state for job in found)),
        *_differences(found),
        *(
            (
                name,
                *(
                    shown_values({name: job.metrics[name]}).removeprefix(name) if name in job.metrics else ""
                    for job in found
                ),
            )
            for name in sorted({name for job in found for name in job.metrics})
        ),
    ]
    print_table(("", *ids), rows)
    if 1 < len(ids) <= _COMPARED:
        for difference in client.jobs.compare(ids).differences:
            click.echo(_difference(difference))


@jobs.command()
@click.argument("ids", nargs=-1, required=True, metavar="JOB…")
@yes_option
@with_client
def rm(client: Tdmr, ids: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Delete jobs with their events, curves and files. A running one has to be cancelled first."""
    if not confirmed(f"Delete {', '.join(ids)}?", yes=yes):
        return
    for job in ids:
        client.jobs.delete(job)
    if as_json:
        print_json({"deleted": list(ids)})


def _difference(found: models.StudentDifference) -> str:
    first, second = (
        f"{one.job_id} {one.student}" if one.student else one.job_id for one in (found.first, found.second)
    )
    if found.difference is None or found.interval is None:
        return f"{second} beside {first}: {found.reason}"
    low, high = found.interval
    points = f"{100 * found.difference:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
    return f"{second} beside {first}: {points} on the same {found.images:,} images"


def _tracking(job: Job) -> str | None:
    if job.tracking is None:
        return None
    run = job.tracking.mlflow
    return " ".join(filter(None, (run.url or f"{run.state}, experiment {run.experiment}", run.error)))


def _spec(job: Job) -> dict[str, Any]:
    return job.spec if isinstance(job.spec, dict) else job.spec.model_dump(mode="json")


def _models(job: Job) -> str:
    spec = _spec(job)
    return teacher_to_student(spec) + (f" ({spec['method']})" if spec.get("method") not in (None, "tdmr") else "")


def _accuracy(job: Job) -> str:
    accuracy = job.metrics.get("student_accuracy", job.metrics.get("val_accuracy"))
    return "" if accuracy is None else f"{accuracy:.1%}"


def _differences(found: list[Job]) -> list[tuple[str, ...]]:
    """The options in which the specs are not the same."""
    flat = [_flat(_spec(job)) for job in found]
    names = sorted({name for one in flat for name in one if len({str(other.get(name)) for other in flat}) > 1})
    return [(name, *(str(one.get(name, "")) for one in flat)) for name in names]


def _flat(spec: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in spec.items():
        result |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return result
