"""How objects look in a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping

COLOURS = {"succeeded": "#1a7f37", "ready": "#1a7f37", "failed": "#cf222e", "rejected": "#cf222e", "running": "#0969da"}


def card_html(title: str, state: str, rows: Mapping[str, object]) -> str:
    """One object: its title, its state in colour, and what is known of it."""
    colour = COLOURS.get(state, "#6e7781")
    badge = f"<span style='color:{colour}'>● {html.escape(state)}</span>"
    return f"<div><b>{html.escape(title)}</b> {badge}</div>{table_html(rows.items())}"


def table_html(rows: Iterable[tuple[str, object]]) -> str:
    """Names and values, without those that are None."""
    cells = "".join(
        f"<tr><td style='text-align:left'>{html.escape(name)}</td>"
        f"<td style='text-align:left'>{html.escape(str(value))}</td></tr>"
        for name, value in rows
        if value is not None
    )
    return f"<table>{cells}</table>"
