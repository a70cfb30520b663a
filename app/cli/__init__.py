"""The console script `tdmr`."""

import click

from app.cli.api import api
from app.cli.check import check
from app.cli.demo import demo
from app.cli.keys import keys
from app.cli.migrate import migrate
from app.cli.tenants import tenants
from app.cli.up import up
from app.cli.worker import worker


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tdmr")
def main() -> None:
    """Self-hosted training of small vision models: your labelled images in, a distilled student out.

    `tdmr up` starts everything on this machine. In production, `tdmr migrate` prepares the database once, and
    `tdmr api` and `tdmr worker` run as processes of their own, on as many machines as you like.

    Every setting is an environment variable TDMR_…, listed in docs/settings.md; options given here win over them.
    """


for command in (up, api, worker, migrate, keys, tenants, check, demo):
    main.add_command(command)
