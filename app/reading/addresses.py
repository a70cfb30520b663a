"""Which column of a table holds the addresses of images."""

import re
from collections.abc import Iterator

from app.reading.tables.columns import PATH_NAMES, bare
from app.reading.tables.table import Table

_ADDRESS = re.compile(r"(https?|s3)://\S", re.IGNORECASE)
_SAMPLE_ROWS = 300
_LEAST = 0.5
"""Share of a column's cells that are addresses, in a column of images' addresses."""


def is_address(cell: str) -> bool:
    return _ADDRESS.match(cell) is not None


def listed_addresses(table: Table) -> Iterator[str] | None:
    """The addresses in the column that holds them, each once, in the order of the rows; None where none does.

    Raises:
        DatasetRejected: while they are read, for a line that cannot be, or too many.
    """
    column = address_column(table)
    return None if column is None else _unique(table, column)


def address_column(table: Table) -> int | None:
    """The column with the largest share of addresses; of several, one that is called like a column of files, else the
    first."""
    rows = [cells for _, cells in table.sample(_SAMPLE_ROWS)]
    heading = list(table.keys) if table.is_json else rows[0] if rows and not any(map(is_address, rows[0])) else []
    body = rows[1:] if heading and not table.is_json else rows
    known = {bare(name): place for place, name in reversed([*enumerate(PATH_NAMES)])}
    found = []
    for column in range(max(map(len, rows), default=0)):
        cells = [cells[column] for cells in body if column < len(cells) and cells[column]]
        share = sum(map(is_address, cells)) / max(1, len(cells))
        if share >= _LEAST:
            called = bare(heading[column]) if column < len(heading) else ""
            found.append((known.get(called, len(known)), -share, column))
    return min(found)[-1] if found else None


def _unique(table: Table, column: int) -> Iterator[str]:
    seen = set()
    for _, cells in table.rows():
        cell = cells[column] if column < len(cells) else ""
        if is_address(cell) and cell not in seen:
            seen.add(cell)
            yield cell
