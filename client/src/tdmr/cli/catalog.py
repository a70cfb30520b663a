"""`tdmr teachers` and `tdmr students`."""

from __future__ import annotations

import re

import click

from tdmr import Tdmr, models
from tdmr.cli.common import print_json, print_table, with_client

_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9}


def parse_count(_context: click.Context, _option: click.Parameter, value: str | None) -> int | None:
    """5M, 300K, or a plain number."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMB]?)", value.upper())
    if match is None:
        raise click.BadParameter(f"{value!r} is no number such as 5M or 300K")
    return int(float(match[1]) * _FACTORS[match[2]])


def shown_count(number: int | None) -> str:
    """5.4 M."""
    return "" if number is None else f"{number / 1e6:.1f} M"


max_params = click.option(
    "--max-params", metavar="N", callback=parse_count, help="Only those with at most so many parameters, such as 5M."
)
limit = click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")


@click.group()
def teachers() -> None:
    """Pretrained networks to learn from."""


@click.group()
def students() -> None:
    """Architectures to train."""


@teachers.command("search")
@click.argument("text", default="")
@max_params
@limit
@with_client
def search_teachers(client: Tdmr, text: str, max_params: int | None, limit: int, as_json: bool) -> None:
    """List teachers whose name or family contains TEXT.

    \b
    tdmr teachers search dinov2
    """
    found: list[models.Teacher] = []
    for card in client.teachers.list(text):
        if len(found) == limit:
            break
        if card.refused is None and (max_params is None or (card.parameters or 0) <= max_params):
            found.append(card)
    if as_json:
        print_json(found)
        return
    rows = ((c.name, shown_count(c.parameters), f"{c.input_size} px", c.trained_on, c.licence) for c in found)
    print_table(("name", "parameters", "pretrained at", "on", "licence"), rows, limit)


@students.command("search")
@click.argument("text", default="")
@max_params
@limit
@with_client
def search_students(client: Tdmr, text: str, max_params: int | None, limit: int, as_json: bool) -> None:
    """List students whose name or family contains TEXT.

    \b
    tdmr students search mobilenet --max-params 5M
    """
    found: list[models.Student] = []
    for card in client.students.list(text):
        if len(found) == limit:
            break
        if card.refused is None and (max_params is None or card.parameters <= max_params):
            found.append(card)
    if as_json:
        print_json(found)
        return
    print_table(("name", "parameters", "family"), ((c.name, shown_count(c.parameters), c.family) for c in found), limit)
