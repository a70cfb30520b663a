"""The console script `tdmr`. It needs the extra `cli`."""

import sys


def main() -> None:
    """Run the command; without its packages, say which to install."""
    try:
        from tdmr.cli.root import tdmr
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich", "yaml"):
            raise
        sys.exit("The command needs more packages than the client: pip install 'tdmr-client[cli]'")
    tdmr(prog_name="tdmr")
