"""The root of the command: the client's groups, and the service's commands where the service is installed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import click

from tdmr import _version
from tdmr.cli.access import login, status
from tdmr.cli.catalog import students, teachers
from tdmr.cli.common import Failures
from tdmr.cli.completion import completion
from tdmr.cli.datasets import datasets
from tdmr.cli.jobs import jobs
from tdmr.cli.models import models, predict
from tdmr.cli.train import train, watch
from tdmr.cli.webhooks import webhooks

GROUP = "tdmr.commands"
"""Entry points of other distributions; each is a mapping with `main`, where its group is, and `commands`, name to
summary."""


class Root(Failures):
    """Loads what others have added only when it is called."""

    @cached_property
    def joined(self) -> Mapping[str, tuple[str, str]]:
        """Name → where its group is, and its summary."""
        found: dict[str, tuple[str, str]] = {}
        for entry in entry_points(group=GROUP):
            added = entry.load()
            found |= {name: (added["main"], summary) for name, summary in added["commands"].items()}
        return found

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *(name for name in self.joined if name not in self.commands)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in self.joined:
            return own
        main, summary = self.joined[cmd_name]
        if ctx.resilient_parsing and cmd_name in sys.argv[1:] + _words_typed():
            group: click.Group = _load(main)  # the shell completes its options
            return group.commands[cmd_name]
        return _Passed(cmd_name, main, summary)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in (("Commands", [*self.commands]), ("The service, on this machine", [*self.joined])):
            shown = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name, command.get_short_help_str(90)) for name, command in shown if command and not command.hidden]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class _Passed(click.Command):
    """Hands all its arguments to the command of the same name in another group."""

    def __init__(self, name: str, main: str, summary: str) -> None:
        super().__init__(name, short_help=summary, add_help_option=False)
        self._main = main

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = args
        return []

    def invoke(self, ctx: click.Context) -> Any:
        group: click.Group = _load(self._main)
        return group.main(args=[str(self.name), *ctx.args], prog_name="tdmr")


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _words_typed() -> list[str]:
    """What the shell that asks for a completion has on its line."""
    import os

    return os.environ.get("COMP_WORDS", "").split()


@click.group(
    cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, no_args_is_help=True
)
@click.version_option(_version.VERSION, message="%(version)s")
def tdmr() -> None:
    """Train small vision models: your labelled images in, a distilled student out.

    \b
    tdmr train photos/ --teacher resnet18.a1_in1k --student mobilenetv3_small_050 --out model/

    The service is the one at TDMR_BASE_URL, that of `tdmr login`, or http://127.0.0.1:8000, where `tdmr up` starts one.
    Every command takes --json. Exit statuses: 0 done, 1 failed, 2 wrong usage, 3 refused by the service,
    4 not reachable, 5 a job or data set that came to nothing, 130 interrupted.
    """


for _command in (
    train,
    watch,
    datasets,
    jobs,
    models,
    predict,
    teachers,
    students,
    webhooks,
    login,
    status,
    completion,
):
    tdmr.add_command(_command)
