"""`tdmr api`: the HTTP service alone."""

import click

from app.cli.common import host_option, port_option, read_settings
from app.private import keep_private


@click.command()
@host_option
@port_option
def api(host: str | None, port: int | None) -> None:
    """Serve the HTTP API, without workers.

    Needs a migrated database (`tdmr migrate`), and TDMR_API_KEY unless it listens on loopback. Behind a proxy that
    terminates TLS, put the proxy's address in FORWARDED_ALLOW_IPS.
    """
    settings = read_settings(host=host, port=port)
    try:
        settings.check_exposed()
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    keep_private(settings)
    from app.cli.serving import serve  # noqa: PLC0415  the other commands start in half the time without it

    serve(settings)
