"""`tdmr keys`: keys without a key, for whoever has the database's address."""

import re

import click

from app.cli.common import open_store
from app.db.engine import Store
from app.domain.access import OPERATOR_TENANT, TENANT_NAME, Caller, Scope
from app.domain.errors import NotFound
from app.services import audit
from app.services import keys as service

ALL = 1000
COMMAND_LINE = "cli"


def tenant_name(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if not re.fullmatch(TENANT_NAME, value):
        raise click.BadParameter("must be of a-z, 0-9, _ and -, at most 64 of them")
    return value


tenant_option = click.option(
    "--tenant", default=OPERATOR_TENANT, show_default=True, callback=tenant_name, help="Whose keys they are."
)


@click.group()
def keys() -> None:
    """Make, list and revoke API keys, straight in the database (TDMR_DATABASE_URL)."""


@keys.command()
@tenant_option
@click.option("--name", required=True, help="What it is for, in your words.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    default=[Scope.READ.value, Scope.WRITE.value],
    show_default=True,
    help="What it may do; give it again for each.",
)
@click.option("--expires-in-days", type=click.IntRange(1, 3650), help="Without it the key does not expire.")
@open_store
def create(store: Store, tenant: str, name: str, scopes: tuple[str, ...], expires_in_days: int | None) -> None:
    """Make a key and print it. It is shown this once and cannot be had again.

    A tenant need not exist before: its first key makes it.
    """
    with store.write() as session:
        key, secret = service.create(
            session, tenant, name=name, scopes={Scope(scope) for scope in scopes}, expires_in_days=expires_in_days
        )
        audit.record(session, Caller(tenant, COMMAND_LINE), "create_key", key.id)
    click.echo(f"{key.id} of tenant {tenant}: {', '.join(key.scopes)}", err=True)
    click.echo(secret)


@keys.command("list")
@tenant_option
@open_store
def list_(store: Store, tenant: str) -> None:
    """Show a tenant's keys, newest first; never the keys themselves."""
    with store.read() as session:
        page = service.page(session, tenant, after=None, limit=ALL)
    for key in page.items:
        until = f"until {key.expires_at:%F}" if key.expires_at else "until it is revoked"
        click.echo(f"{key.id}  {','.join(key.scopes):16}  {until}  {key.name}")


@keys.command()
@tenant_option
@click.argument("key_id")
@open_store
def revoke(store: Store, tenant: str, key_id: str) -> None:
    """Revoke a key: within five seconds it opens nothing any more."""
    try:
        with store.write() as session:
            service.revoke(session, tenant, key_id)
            audit.record(session, Caller(tenant, COMMAND_LINE), "revoke_key", key_id)
    except NotFound:
        raise click.ClickException(f"Tenant {tenant} has no key {key_id}.") from None
    click.echo(f"{key_id} is revoked.")
