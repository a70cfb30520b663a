"""`tdmr migrate`: the database's schema."""

import click
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from app.cli.common import read_settings
from app.db.migrate import upgrade


@click.command()
def migrate() -> None:
    """Bring the database (TDMR_DATABASE_URL) to the schema of this version.

    Running it again does no harm. Run it before the first start and after each upgrade, before the new processes start.
    """
    url = read_settings().database
    shown = make_url(url).render_as_string(hide_password=True)
    try:
        upgrade(url)
    except OperationalError as error:
        raise click.ClickException(f"{shown} does not answer: {error.orig}") from None
    click.echo(f"{shown} is up to date.")
