"""What several commands share."""

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click
from alembic.util import CommandError
from pydantic import ValidationError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError

from app.db.engine import Store
from app.domain.files import replaced_atomically
from app.settings import Settings

Options = ParamSpec("Options")


class PlainErrors(click.Group):
    """Commands that end in one line where the place they are pointed to is of no use: a traceback would say nothing
    more to an operator. What is our own mistake keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ArgumentError, NoSuchModuleError):
            raise click.ClickException("TDMR_DATABASE_URL is no URL of SQLite or Postgres.") from None
        except CommandError as error:
            if "locate revision" not in str(error):
                raise
            raise click.ClickException(
                "The database has the schema of another version. Run the newest version that has used it, or restore "
                "the backup from before that upgrade."
            ) from None
        except DatabaseError as error:
            raise click.ClickException(f"The database cannot be used: {error.orig}") from None
        except OSError as error:
            if error.filename is None:  # no file's trouble
                raise
            raise click.ClickException(f"{error.filename} cannot be used: {error.strerror}") from None


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


host_option = click.option("--host", help="Address to listen on; any but loopback needs TDMR_API_KEY. [127.0.0.1]")
port_option = click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 chooses a free one. [8000]"
)


def open_store(command: Callable[Concatenate[Store, Options], None]) -> Callable[Options, None]:
    """Hand the job store of the environment's settings to a command; a database that is away ends it in one line."""

    @functools.wraps(command)
    def opened(*args: Options.args, **options: Options.kwargs) -> None:
        with reporting_outages(read_settings().database) as store:
            command(store, *args, **options)

    return opened


@contextmanager
def reporting_outages(url: str) -> Iterator[Store]:
    """The job store under `url`; a database that is away ends the command in one line."""
    store = Store(url)
    try:
        yield store
    except OperationalError as error:
        shown = make_url(url).render_as_string(hide_password=True)
        raise click.ClickException(f"{shown} does not answer: {error.orig}") from None
    finally:
        store.close()


def service_file(settings: Settings) -> Path:
    """Where the service says on which address it listens, for clients on the same machine."""
    return settings.root / "service.json"


@contextmanager
def announced(settings: Settings, url: str, pid: int) -> Iterator[None]:
    """The file is there inside the block."""
    path = service_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_atomically(path) as temporary:
        temporary.write_text(json.dumps({"url": url, "pid": pid}) + "\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def read_url(settings: Settings) -> str | None:
    """Where the service listens, or None if it does not say so (yet)."""
    try:
        return str(json.loads(service_file(settings).read_bytes())["url"])
    except FileNotFoundError:
        return None
