"""`tdmr keys`: manage API keys in the database, without a key."""

import re

import click

from app.cli.common import open_store
from app.db.engine import Store
from app.domain.access import OPERATOR_TENANT, TENANT_NAME, Caller, Scope
from app.domain.errors import NotFound
from app.services import keys as service

ALL = 1000
COMMAND_LINE = "cli"


def tenant_name(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if not re.fullmatch(TENANT_NAME, value):
        raise click.BadParameter("must have 1 to 64 characters of a-z, 0-9, _ and -")
    return value


tenant_option = click.option(
    "--tenant", default=OPERATOR_TENANT, show_default=True, callback=tenant_name, help="The tenant of the keys."
)


@click.group()
def keys() -> None:
    """Create, list and revoke API keys directly in the database (TDMR_DATABASE_URL)."""


@keys.command()
@tenant_option
@click.option("--name", required=True, help="What the key is for.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    default=[Scope.READ.value, Scope.WRITE.value],
    show_default=True,
    help="A scope of the key; repeat the option for each.",
)
@click.option("--expires-in-days", type=click.IntRange(1, 3650), help="Days until the key expires. [never]")
@open_store
def create(store: Store, tenant: str, name: str, scopes: tuple[str, ...], expires_in_days: int | None) -> None:
    """Create a key and print it. It is shown only once.

    Naming a new tenant creates it.
    """
    with store.write() as session:
        key, secret = service.create(
            session,
            Caller(tenant, COMMAND_LINE),
            tenant,
            name=name,
            scopes={Scope(scope) for scope in scopes},
            expires_in_days=expires_in_days,
        )
    click.echo(f"{key.id} of tenant {tenant}: {', '.join(key.scopes)}", err=True)
    click.echo(secret)


@keys.command("list")
@tenant_option
@open_store
def list_(store: Store, tenant: str) -> None:
    """List a tenant's keys, newest first, without the secrets."""
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
    """Revoke a key. Every process rejects it within five seconds."""
    try:
        with store.write() as session:
            service.revoke(session, Caller(tenant, COMMAND_LINE), tenant, key_id)
    except NotFound:
        raise click.ClickException(f"Tenant {tenant} has no key {key_id}.") from None
    click.echo(f"{key_id} is revoked.")
