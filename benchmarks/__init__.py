"""What we measure, runnable by anyone: each module is one command, goes on where it stopped, and prints its table."""

from pathlib import Path

RESULTS = Path(__file__).parent / "results"
"""The lines of results that docs/benchmarks.md and its pages show."""
