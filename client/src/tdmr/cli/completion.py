"""`tdmr completion`: what a shell needs to complete the command."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", required=False, type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """Print the completion script of a shell. [the one of $SHELL]

    \b
    tdmr completion bash >> ~/.bashrc
    tdmr completion fish > ~/.config/fish/completions/tdmr.fish
    """
    shell = shell or Path(os.environ.get("SHELL", "")).name
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"Name a shell: {', '.join(_SHELLS)}.")
    root = ctx.find_root().command
    click.echo(found(root, {}, "tdmr", "_TDMR_COMPLETE").source())
