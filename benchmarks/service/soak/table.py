"""The lines of results as tables for docs/benchmarks/service.md."""

from collections.abc import Sequence
from typing import Any

from benchmarks.common.table import markdown

Line = dict[str, Any]

MEGABYTE = 10**6


def tables(lines: Sequence[Line]) -> str:
    """What happened, and how the spared processes have grown."""
    happened = markdown(
        ("minutes", "killed", "data sets", "jobs", "attempts", "answers", "503", "none", "files checked", "findings"),
        [_happened(line) for line in lines],
    )
    grown = markdown(
        ("minutes", "process", "resident, MB", "descriptors", "threads"),
        [row for line in lines for row in _grown(line)],
    )
    return f"{happened}\n\n{grown}"


def _happened(line: Line) -> list[str]:
    counts = line["counts"]
    killed = {name.partition(": ")[2]: count for name, count in counts.items() if name.startswith("killed: ")}
    return [
        str(line["minutes"]),
        f"{sum(killed.values())}: " + ", ".join(f"{count} {name}" for name, count in sorted(killed.items())),
        _ends(counts, "data sets "),
        _ends(counts, "jobs "),
        *(f"{counts.get(name, 0):,}" for name in ("attempts", "answers", "503", "no answer", "files checked")),
        str(line["findings"]),
    ]


def _ends(counts: dict[str, int], of: str) -> str:
    return ", ".join(
        f"{count} {name.removeprefix(of)}" for name, count in sorted(counts.items()) if name.startswith(of)
    )


def _grown(line: Line) -> list[list[str]]:
    """Medians of the first and the last quarter after the warm-up."""
    rows = []
    for name, measures in sorted(line["growth"].items()):
        parts = [(measures["rss"], MEGABYTE), (measures["descriptors"], 1), (measures["threads"], 1)]
        shown = [f"{part['first'] / unit:.0f} → {part['last'] / unit:.0f}" for part, unit in parts]
        rows.append([str(line["minutes"]), name.rpartition("-")[0], *shown])
    return rows
