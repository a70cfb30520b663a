"""How objects look in a notebook, and what a person knows a job by."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

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


def named(spec: Mapping[str, Any], kind: str) -> str | None:
    """The `teacher` or the `student` that a job names, or all where it names several."""
    return spec.get(kind) or ", ".join(spec.get(f"{kind}s") or ()) or None


def teacher_to_student(spec: Mapping[str, Any]) -> str:
    """What a person recognises a job by: who teaches whom."""
    return " → ".join(filter(None, (named(spec, "teacher"), named(spec, "student"))))
