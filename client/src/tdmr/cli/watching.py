"""How a job is watched: with bars and curves where a person looks, with lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

with suppress(ImportError):  # Windows has none, nor what it is needed for
    import termios

from tdmr import Job
from tdmr._watching import Watch, detail, label
from tdmr.cli.charts import chart
from tdmr.cli.common import INTERRUPTED
from tdmr.progress import Lines, is_terminal
from tdmr.updates import EndUpdate, EventUpdate, MetricsUpdate, ProgressUpdate, Update

_HEIGHT = 7
_STAGE_WITH_CURVES = "distill"


def follow(job: Job, *, curves: bool = True) -> Job:
    """Show a job until it has ended, through any restart of the service. Ctrl-C stops the showing, not the job.

    Raises:
        JobEnded: without success.
    """
    with left_running(job):
        if is_terminal(sys.stderr):
            with _nothing_discarded(), _Live(job, curves=curves) as live:
                for update in job.stream():
                    live.tell(update)
        else:
            watch = Watch(Lines())
            for update in job.stream():
                watch.tell(update)
    return job.check()


@contextmanager
def left_running(job: Job) -> Iterator[None]:
    """Says how to come back, where Ctrl-C ends the block."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(
            f"\n{job.id} goes on without you. Come back with\n"
            f"  tdmr watch {job.id}\nor stop it with\n  tdmr jobs cancel {job.id}",
            err=True,
        )
        sys.exit(INTERRUPTED)


@contextmanager
def _nothing_discarded() -> Iterator[None]:
    """A terminal throws away what it has not shown yet when Ctrl-C is pressed. Half of a picture would be missing, and
    the next one would be drawn over the lines above it."""
    if not _ours_to_set():
        yield
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    changed = [*before]
    changed[3] |= termios.NOFLSH
    termios.tcsetattr(keyboard, termios.TCSANOW, changed)
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSANOW, before)


def _ours_to_set() -> bool:
    """Whether we are started from a keyboard, and not in the background, where it must be left alone."""
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError, AttributeError):
        return False


class _Live:
    """One picture that is drawn again: the stage, a bar, the curves so far, and what was noted."""

    def __init__(self, job: Job, *, curves: bool) -> None:
        self._job, self._curves = job, curves
        self._loss: dict[int, float] = {}
        self._accuracy: dict[int, float] = {}
        self._console = Console(stderr=True)
        self._live = Live(self._picture(), console=self._console, refresh_per_second=8)

    def __enter__(self) -> _Live:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.update(self._picture())
        self._live.__exit__(None, None, None)

    def tell(self, update: Update) -> None:
        if isinstance(update, EventUpdate) and update.kind == "warning":
            self._console.print(Text(f"! {update.message}", style="yellow"))
        elif isinstance(update, MetricsUpdate):
            self._keep(update)
        elif isinstance(update, ProgressUpdate | EndUpdate):
            self._live.update(self._picture())

    def _keep(self, update: MetricsUpdate) -> None:
        for point in update.points:
            if point.stage != _STAGE_WITH_CURVES:
                continue
            for name, value in point.values.items():
                end = name.rpartition("/")[2]
                if end == "loss":
                    self._loss[point.step] = value
                elif end == "val_accuracy":
                    self._accuracy[point.step] = value

    def _picture(self) -> RenderableType:
        job, parts = self._job, list[RenderableType]()
        line = Table.grid(padding=(0, 1))
        colour = {"failed": "red", "cancelled": "red", "succeeded": "green"}.get(job.state, "cyan")
        bar = ProgressBar(total=1.0, completed=job.progress, width=24, complete_style=colour, finished_style=colour)
        line.add_row(
            Text(label(job), style=f"bold {colour}"), bar, f"{job.progress:4.0%}", Text(detail(job), style="dim")
        )
        parts.append(line)
        if self._curves:
            width = max(20, (self._console.width - 4) // 2)
            drawn = [
                chart("loss", sorted(self._loss.items()), width, _HEIGHT),
                chart("validation accuracy", sorted(self._accuracy.items()), width, _HEIGHT, as_share=True),
            ]
            if any(len(rows) > 1 for rows in drawn) and len(self._loss) > 1:
                beside = Table.grid(padding=(0, 4))
                beside.add_row(*(Text("\n".join(rows), style="cyan") for rows in drawn if rows))
                parts.append(beside)
        return Group(*parts)
