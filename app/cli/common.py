"""What several commands share."""

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

import click
from pydantic import ValidationError
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from app.db.engine import Store
from app.settings import Settings

Options = ParamSpec("Options")


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


def open_store(command: Callable[Concatenate[Store, Options], None]) -> Callable[Options, None]:
    """Hand the job store of the environment's settings to a command; a database that is away ends it in one line."""

    @functools.wraps(command)
    def opened(*args: Options.args, **options: Options.kwargs) -> None:
        url = read_settings().database
        store = Store(url)
        try:
            command(store, *args, **options)
        except OperationalError as error:
            shown = make_url(url).render_as_string(hide_password=True)
            raise click.ClickException(f"{shown} does not answer: {error.orig}") from None
        finally:
            store.close()

    return opened
