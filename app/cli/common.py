"""What several commands share."""

from typing import Any

import click
from pydantic import ValidationError

from app.settings import Settings


def read_settings(**given: Any) -> Settings:
    """The environment's settings, with those options that were given.

    Raises:
        click.ClickException: naming the variable that is wrong and why.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = [
            f"{'TDMR_' + str(e['loc'][0]).upper() + ': ' if e['loc'] else ''}{e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise click.ClickException("\n".join(wrong)) from None


host_option = click.option("--host", help="Address to listen on; anything but loopback needs TDMR_API_KEY. [127.0.0.1]")
port_option = click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one. [8000]"
)
