"""`tdmr tenants`: who there is, and quotas that are theirs alone."""

from typing import Any

import click

from app.cli.common import open_store
from app.cli.keys import COMMAND_LINE, tenant_name
from app.db.access_models import Tenant
from app.db.engine import Store
from app.domain.access import Caller
from app.services import audit
from app.services import tenants as service

DEFAULT = "default"


class Quota(click.ParamType[int | str]):
    """A number, or `default` for what the settings say."""

    name = "N|default"

    def __init__(self, least: int) -> None:
        self._range = click.IntRange(least, 2**53)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        return DEFAULT if value == DEFAULT else self._range.convert(value, param, ctx)


@click.group()
def tenants() -> None:
    """Show tenants and give one quotas of its own, straight in the database (TDMR_DATABASE_URL)."""


@tenants.command("list")
@open_store
def list_(store: Store) -> None:
    """Show the tenants that have keys or quotas of their own."""
    with store.read() as session:
        for tenant in service.listing(session):
            click.echo(_shown(tenant))


@tenants.command("set")
@click.argument("name", callback=tenant_name)
@click.option("--max-bytes", type=Quota(0), help="Most bytes of its data sets, as uploaded.")
@click.option("--max-queued", type=Quota(0), help="Most jobs of it that wait for a worker.")
@click.option("--max-running", type=Quota(1), help="Most jobs of it that run at a time.")
@open_store
def set_(
    store: Store,
    name: str,
    max_bytes: int | str | None,
    max_queued: int | str | None,
    max_running: int | str | None,
) -> None:
    """Give a tenant quotas of its own; `default` means again what TDMR_TENANT_MAX_… say. It holds at once."""
    options = {"max_bytes": max_bytes, "max_queued": max_queued, "max_running": max_running}
    quotas = {
        option: None if isinstance(value, str) else value for option, value in options.items() if value is not None
    }
    with store.write() as session:
        tenant = service.set_quotas(session, name, quotas)
        audit.record(session, Caller(name, COMMAND_LINE), "set_quotas", None)
    click.echo(_shown(tenant))


def _shown(tenant: Tenant) -> str:
    quotas = {"bytes": tenant.max_bytes, "queued": tenant.max_queued, "running": tenant.max_running}
    shown = (f"{name} {DEFAULT if value is None else format(value, ',')}" for name, value in quotas.items())
    return f"{tenant.name}: {', '.join(shown)}"
