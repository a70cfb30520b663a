"""`python -m tdmr.cli` is `tdmr`, also where the script is not on PATH."""

from tdmr.cli import main

main()
