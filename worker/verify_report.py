"""The result of `python -m worker.verify`, as data and as a table."""

import sys
from collections.abc import Sequence

from app.domain.base import Frozen
from app.domain.dataset import Split


class FileCheck(Frozen):
    """One downloaded file. The figures are None where it was not run."""

    name: str
    bytes: int
    accuracy: float | None = None
    top1_agreement: float | None = None
    """With the PyTorch student rebuilt from the weights."""
    max_logit_difference: float | None = None
    problem: str | None = None


class VerifyReport(Frozen):
    """All files that are there."""

    images: int
    split: Split | None
    files: tuple[FileCheck, ...]
    absent: tuple[str, ...]
    """In the manifest but not in the folder, so not checked."""

    @property
    def ok(self) -> bool:
        return all(check.problem is None for check in self.files)


def show(report: VerifyReport) -> None:
    """Print the report for a person: a `rich` table on a terminal where rich is installed, else plain columns."""
    title = f"{report.images:,} {report.split or 'labelled'} images"
    header = ("file", "bytes", "accuracy", "top-1 agreement", "max |Δlogit|")
    rows = [_cells(check) for check in report.files]
    problems = [f"{check.name}: {check.problem}" for check in report.files if check.problem]
    if not (sys.stdout.isatty() and _show_rich(title, header, rows)):
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        lines = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)
        ]
        sys.stdout.write("\n".join([title, *(line.rstrip() for line in lines)]) + "\n")
    sys.stdout.writelines(f"{problem}\n" for problem in problems)


def _cells(check: FileCheck) -> tuple[str, ...]:
    def number(value: float | None, spec: str) -> str:
        return "" if value is None else format(value, spec)

    figures = (number(check.accuracy, ".2%"), number(check.top1_agreement, ".2%"))
    return (check.name, f"{check.bytes:,}", *figures, number(check.max_logit_difference, ".1e"))


def _show_rich(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    try:
        from rich.console import Console  # noqa: PLC0415  only the demo's extra has it
        from rich.table import Table  # noqa: PLC0415
    except ImportError:
        return False
    table = Table(title=title, title_justify="left")
    for column, name in enumerate(header):
        table.add_column(name, justify="right" if column else "left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    return True
