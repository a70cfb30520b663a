"""The console script `tdmr`."""

import os

import click

from app.cli.api import api
from app.cli.common import PlainErrors
from app.cli.keys import keys
from app.cli.programs import demo, worker
from app.cli.prune import prune
from app.cli.store import check, migrate
from app.cli.tenants import tenants
from app.cli.up import up
from app.private import UMASK


@click.group(cls=PlainErrors, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tdmr")
@click.pass_context
def main(context: click.Context) -> None:
    """Self-hosted training of small vision models: your labelled images in, a distilled student out.

    `tdmr up` starts everything on this machine. In production, `tdmr migrate` prepares the database, and `tdmr api` and
    `tdmr worker` run as separate processes on any number of machines.

    Every setting is an environment variable TDMR_…, listed in docs/settings.md; command-line options override them.
    """
    if context.invoked_subcommand != demo.name:  # whose files are its user's
        os.umask(UMASK)


for command in (up, api, worker, migrate, keys, tenants, check, prune, demo):
    main.add_command(command)
