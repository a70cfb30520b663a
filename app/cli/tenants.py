"""`tdmr tenants`: list tenants and set their quotas."""

from typing import Any

import click

from app.cli.common import open_store
from app.cli.keys import COMMAND_LINE, tenant_name
from app.db.engine import Store
from app.db.models import Tenant
from app.domain.access import Caller
from app.services import quotas as service

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
    """List tenants and set their quotas directly in the database (TDMR_DATABASE_URL)."""


@tenants.command("list")
@open_store
def list_(store: Store) -> None:
    """List every tenant that has had a key or a quota, with its quotas."""
    with store.read() as session:
        for tenant in service.list_tenants(session):
            click.echo(_shown(tenant))


@tenants.command("set")
@click.argument("name", callback=tenant_name)
@click.option("--max-bytes", type=Quota(0), help="Max bytes of its data sets, as uploaded.")
@click.option("--max-queued", type=Quota(0), help="Max queued jobs.")
@click.option("--max-running", type=Quota(1), help="Max running jobs.")
@open_store
def set_(
    store: Store,
    name: str,
    max_bytes: int | str | None,
    max_queued: int | str | None,
    max_running: int | str | None,
) -> None:
    """Set quotas of one tenant; `default` restores TDMR_TENANT_MAX_…. Takes effect immediately."""
    options = {"max_bytes": max_bytes, "max_queued": max_queued, "max_running": max_running}
    quotas = {
        option: None if isinstance(value, str) else value for option, value in options.items() if value is not None
    }
    with store.write() as session:
        tenant = service.set_quotas(session, Caller(name, COMMAND_LINE), name, quotas)
    click.echo(_shown(tenant))


def _shown(tenant: Tenant) -> str:
    quotas = {"bytes": tenant.max_bytes, "queued": tenant.max_queued, "running": tenant.max_running}
    shown = (f"{name} {DEFAULT if value is None else format(value, ',')}" for name, value in quotas.items())
    return f"{tenant.name}: {', '.join(shown)}"
