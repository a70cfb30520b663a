"""Figures as files that can be compared: the same figure gives the same bytes."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito (2008): told apart with any kind of colour vision."""


def save(figure: Figure, path: Path) -> None:
    """Write it as an SVG, without a date, its text as text."""
    with mpl.rc_context({"svg.hashsalt": "tdmr", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None})
