"""What the commands share: the client, failures as exit statuses, output for people and for programs."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tdmr import APIError, ConnectionFailed, DatasetRejected, DatasetUnclear, JobEnded, Tdmr, TdmrError
from tdmr._words import in_commands
from tdmr.errors import Unexpected
from tdmr.problems import Forbidden, RateLimited, StoreUnavailable, Unauthorized

FAILED, REFUSED, NOT_REACHED, CAME_TO_NOTHING, INTERRUPTED = 1, 3, 4, 5, 130
Command = TypeVar("Command", bound=Callable[..., Any])


class Failures(click.Group):
    """Errors as a message and an exit status. A mistake of ours keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TdmrError as error:
            if isinstance(error, DatasetUnclear) and error.readings:
                choice = f"tdmr datasets choose {error.dataset_id} {error.readings[0].id}"
                error.hint = f"Say which one is meant, such as: {choice}"
            said, hint = str(error), error.hint
            if error.hint and error.hint_as_sent:
                hint = in_commands(error.hint_as_sent)
                said = said.replace(error.hint, hint)
            if _asked_for_json(sys.argv):
                click.echo(json.dumps({"error": said, "code": getattr(error, "code", None), "hint": hint}), err=True)
            else:
                more = f"\n{hint}" if hint and hint not in said else ""
                click.secho(f"{said}{more}", fg="red" if sys.stderr.isatty() else None, err=True)
            ctx.exit(status_of(error))
        except KeyboardInterrupt:
            click.echo("\nInterrupted. The same command goes on with what was uploaded or downloaded so far.", err=True)
            ctx.exit(INTERRUPTED)


def status_of(error: TdmrError) -> int:
    """The exit status."""
    if isinstance(error, JobEnded | DatasetRejected | DatasetUnclear):
        return CAME_TO_NOTHING
    if isinstance(error, ConnectionFailed | Unexpected | StoreUnavailable | RateLimited):
        return NOT_REACHED
    if isinstance(error, APIError | Unauthorized | Forbidden):
        return REFUSED
    return FAILED


def _asked_for_json(arguments: Sequence[str]) -> bool:
    return "--json" in arguments


def with_client(command: Command) -> Command:
    """Gives the command a client as its first argument, and the option --json."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
    @functools.wraps(command)
    def given(*arguments: Any, **options: Any) -> Any:
        with Tdmr() as client:
            return command(client, *arguments, **options)

    return given  # type: ignore[return-value]


def print_json(shown: Any) -> None:
    """A model, or a list of them, as one JSON document."""
    click.echo(json.dumps(_plain(shown), indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))


def _plain(shown: Any) -> Any:
    if isinstance(shown, BaseModel):
        return shown.model_dump(mode="json", by_alias=True)
    return [_plain(one) for one in shown] if isinstance(shown, list | tuple) else shown


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]], limit: int | None = None) -> None:
    """For people a table; elsewhere tab-separated lines without a header, for cut and awk.

    `limit`: as many rows were asked for. That there is none, or may be more, is told on standard error.
    """
    shown = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not shown:
        click.echo("There are none.", err=True)
        return
    if sys.stdout.isatty():
        _draw(headers, shown)
    else:
        for row in shown:
            click.echo("\t".join(row))
    if len(shown) == limit:
        click.echo(f"These are the first {limit}; --limit shows more.", err=True)


def _draw(headers: Sequence[str], shown: Iterable[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold", justify="left")
    for row in shown:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console().print(table)


_STYLES = {
    "succeeded": "green",
    "ready": "green",
    "running": "blue",
    "failed": "red",
    "rejected": "red",
    "queued": "yellow",
    "paused": "yellow",
}


def print_facts(facts: Sequence[tuple[str, object]]) -> None:
    """Names and values, without those that are not there."""
    known = [(name, value) for name, value in facts if value not in (None, "", {}, [])]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        click.echo(f"{name:<{width}}  {value}")


def why(error: Any) -> str | None:
    """What went wrong with a job or a data set, and what to do about it."""
    return " ".join(filter(None, (error.detail, in_commands(error.hint or "")))) if error else None


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask a person; a script has to say --yes."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError("Say --yes: nobody is there to be asked.")
    return click.confirm(question)


yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
