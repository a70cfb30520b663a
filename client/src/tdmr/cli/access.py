"""`tdmr login` and `tdmr status`."""

from __future__ import annotations

import sys

import click

from tdmr import Tdmr, problems
from tdmr._config import Config, find_config, save
from tdmr.cli.common import print_facts, print_json, with_client


@click.command()
@click.argument("base_url", required=False)
@click.option("--key", help="The API key. Asked for, or read from standard input, unless given.")
@click.option("--no-key", is_flag=True, help="The service needs no key.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def login(base_url: str | None, key: str | None, no_key: bool, as_json: bool) -> None:
    """Remember a service and a key for it, after trying them.

    \b
    tdmr login https://tdmr.example
    tdmr login https://tdmr.example < key.txt

    TDMR_BASE_URL and TDMR_API_KEY go before what is remembered.
    """
    url = find_config(base_url, "").base_url
    if not no_key and key is None:
        asked = click.prompt("API key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
        key = asked.strip()
    config = Config(url, key or None)
    with Tdmr(config.base_url, config.api_key) as client:
        client.jobs.list(limit=1).first()
    path = save(config)
    if as_json:
        print_json({"base_url": config.base_url, "saved": str(path)})
    else:
        click.echo(f"{config.base_url} is remembered in {path}.")


@click.command()
@with_client
def status(client: Tdmr, as_json: bool) -> None:
    """Show the service, its workers and what is being done.

    \b
    tdmr status
    tdmr status --json | jq .workers
    """
    health = client.health()
    running, queued = (client.jobs.list(state=state, limit=100).to_list() for state in ("running", "queued"))
    try:
        offered = client.teachers.list(limit=1).first() is not None
    except problems.NoWorkerYet:
        offered = False
    if as_json:
        found = {"base_url": client.base_url, **health.model_dump(), "running": len(running), "queued": len(queued)}
        print_json({**found, "ready": offered})
        return
    print_facts([
        ("service", client.base_url),
        *health.checks.items(),
        ("workers", ", ".join(f"{count} {queue}" for queue, count in health.workers.items()) or "none"),
        ("catalogue", "ready" if offered else "no training worker has registered yet"),
        ("running", ", ".join(job.id for job in running) or "no job"),
        ("queued", f"{len(queued)}{'+' if len(queued) == 100 else ''} jobs"),
    ])  # fmt: skip
