"""`python -m app.cli` is `tdmr`, also where the script is not on PATH."""

from app.cli import main

main(prog_name="tdmr")
