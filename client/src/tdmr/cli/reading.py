"""How an archive is to be read: said beforehand, or asked of a person once it is not clear."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from tdmr import Dataset, DatasetUnclear, Tdmr

Command = TypeVar("Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--layout", help="How the images are laid out, where that is not clear: folders:2, names, …"),
    click.option("--labels-column", help="The heading of the column that tells the class."),
    click.option("--encoding", help="Of tables and names that are not UTF-8: gbk, cp932, …"),
    click.option(
        "--unlabelled-class", "unlabelled_classes", multiple=True, metavar="NAME",
        help="A class that means that there is no label; may be repeated.",
    ),
    click.option("--stretch", is_flag=True, help="Spread values of more than 8 bits over their whole range."),
)  # fmt: skip

_NAMES = ("layout", "labels_column", "encoding", "unlabelled_classes", "stretch")


def reading_options(command: Command) -> Command:
    """Gives the command, as `reading`, what `client.datasets.create` takes beside the data."""

    @functools.wraps(command)
    def given(*arguments: Any, **options: Any) -> Any:
        reading = {name: options.pop(name) for name in _NAMES}
        return command(*arguments, reading=reading, **options)

    for option in reversed(_OPTIONS):
        given = option(given)
    return given  # type: ignore[return-value]


def cleared(client: Tdmr, make: Callable[[], Dataset]) -> Dataset:
    """The data set that `make` makes. Where it is not clear which classes it has, a person at a terminal is asked."""
    try:
        return make()
    except DatasetUnclear as unclear:
        if not (sys.stdin.isatty() and sys.stderr.isatty() and unclear.readings):
            raise
        click.echo(f"{unclear}", err=True)
        ids = [one.id for one in unclear.readings]
        layout = click.prompt("Which one is meant?", type=click.Choice(ids), show_choices=False, err=True)
        return client.datasets.get(unclear.dataset_id).choose(layout, progress=True)
