"""Progress where a person looks, and lines where nobody does: in a terminal, in a notebook, in a log."""

from __future__ import annotations

import html
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

_REFRESH_SECONDS = 0.1
_TENTHS = 10


class Display(Protocol):
    """Shows one thing after the other."""

    def show(self, label: str, fraction: float | None, detail: str = "") -> None:
        """How far `label` is, from 0 to 1; None while that is not known."""
        ...

    def note(self, text: str) -> None:
        """A line that stays."""
        ...

    def close(self) -> None:
        """Nothing more will be shown."""
        ...


class Silent:
    """Shows nothing."""

    def show(self, label: str, fraction: float | None, detail: str = "") -> None: ...
    def note(self, text: str) -> None: ...
    def close(self) -> None: ...


class Lines:
    """A line when something begins, one when it is done, and one at each 10 % unless they follow each other quickly: no
    silent minutes in a log, and no thousand lines either."""

    def __init__(self, out: TextIO | None = None, seconds: float = 2.0) -> None:
        """`seconds` lie at least between two lines about the same thing, but for its last."""
        self._out = out or sys.stderr
        self._seconds, self._next = seconds, 0.0
        self._label, self._tenth = "", -1

    def show(self, label: str, fraction: float | None, detail: str = "") -> None:
        tenth = 0 if fraction is None else int(fraction * _TENTHS + 1e-9)
        if label == self._label and (tenth <= self._tenth or (tenth < _TENTHS and time.monotonic() < self._next)):
            return
        self._label, self._tenth, self._next = label, tenth, time.monotonic() + self._seconds
        share = "" if fraction is None else f" {fraction:4.0%}"
        self.note(f"{label}{share}{f'  {detail}' if detail else ''}")

    def note(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()

    def close(self) -> None: ...


class Terminal:
    """One line with a bar, written over and over."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._label, self._line, self._next = "", "", 0.0

    def show(self, label: str, fraction: float | None, detail: str = "") -> None:
        if label != self._label and self._line:
            self._out.write("\n")
        done = fraction is not None and fraction >= 1
        if label == self._label and time.monotonic() < self._next and not done:
            return
        self._next = time.monotonic() + _REFRESH_SECONDS
        columns = shutil.get_terminal_size().columns - 1
        self._label, self._line = label, f"{label} {_bar(fraction)} {detail}"[:columns]
        self._out.write(f"\r{self._line}\033[K")
        self._out.flush()

    def note(self, text: str) -> None:
        self._out.write(f"\r\033[K{text}\n{self._line}")
        self._out.flush()

    def close(self) -> None:
        if self._line:
            self._out.write("\n")
            self._line = self._label = ""


class Notebook:
    """A cell's output that is replaced as things go on."""

    def __init__(self, display: Callable[..., Any]) -> None:
        self._notes: list[str] = []
        self._bars: dict[str, str] = {}
        self._next = 0.0
        self._handle = display(_Html(""), display_id=True)

    def show(self, label: str, fraction: float | None, detail: str = "") -> None:
        if label in self._bars and time.monotonic() < self._next and not (fraction is not None and fraction >= 1):
            return
        self._next = time.monotonic() + _REFRESH_SECONDS
        value = "" if fraction is None else f' value="{fraction:.4f}"'
        share = "" if fraction is None else f"{fraction:.0%}"
        cells = (html.escape(label), f"<progress max=1{value}></progress>", share, html.escape(detail))
        self._bars[label] = "".join(f"<td style='text-align:left'>{cell}</td>" for cell in cells)
        self._update()

    def note(self, text: str) -> None:
        self._notes.append(f"<div>{html.escape(text)}</div>")
        self._update()

    def close(self) -> None: ...

    def _update(self) -> None:
        rows = "".join(f"<tr>{row}</tr>" for row in self._bars.values())
        self._handle.update(_Html(f"<table>{rows}</table>{''.join(self._notes)}"))


class _Html:
    def __init__(self, text: str) -> None:
        self._text = text

    def _repr_html_(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return ""


def display_for(progress: bool | Display) -> Display:
    """What suits the place: a notebook, a terminal, or neither. Progress goes to standard error."""
    if not isinstance(progress, bool):
        return progress
    if not progress:
        return Silent()
    if (display := _notebook_display()) is not None:
        return Notebook(display)
    return Terminal() if is_terminal(sys.stderr) else Lines()


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "") != "dumb" and not os.environ.get("CI")


def size(number: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def duration(seconds: float) -> str:
    """Seconds for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Rate:
    """Bytes that move: how many, how fast, how long still."""

    def __init__(self, start: int, total: int) -> None:
        self._start, self._total, self._began = start, total, time.monotonic()

    def detail(self, now: int) -> str:
        passed = time.monotonic() - self._began
        said = f"{size(now)} of {size(self._total)}"
        if passed < 1 or now <= self._start:
            return said
        speed = (now - self._start) / passed
        left = (self._total - now) / speed
        return f"{said}, {size(speed)}/s" + (f", {duration(left)} left" if now < self._total else "")


def _bar(fraction: float | None, width: int = 24) -> str:
    if fraction is None:
        return "…"
    full = int(fraction * width)
    return f"{'━' * full}{'╌' * (width - full)} {fraction:4.0%}"


def _notebook_display() -> Callable[..., Any] | None:
    """IPython's, where a kernel runs it; nothing is imported that is not there already."""
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return None
    shell = ipython.get_ipython()
    if shell is None or type(shell).__name__ != "ZMQInteractiveShell":
        return None
    display: Callable[..., Any] = ipython.display.display
    return display
