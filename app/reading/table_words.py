"""What people are told about tables: what a reading rests on, what is odd about it, and which rows name nothing."""

from collections import Counter
from collections.abc import Iterator, Sequence

from app.reading.columns import Columns
from app.reading.context import Context
from app.reading.matching import EXACT, PathIndex
from app.reading.reading import Refusal, Strength, named, quoted
from app.reading.table_rows import LISTED_ROWS, Rows
from app.reading.tables import Table


def not_there(
    read: Sequence[tuple[Table, Columns, Rows]], index: PathIndex, what: str, missing: int, total: int
) -> Refusal:
    table, _, rows = next(one for one in read if one[2].missing)
    shown = "; ".join(f"line {line} {cell[:120]!r}{_nearest(index, cell)}" for line, cell in rows.missing[:10])
    first_line, first = rows.missing[0]
    if total == 1 or missing == 1:
        detail = f"{table.file}, line {first_line} names {first[:200]!r}, which is not there{_nearest(index, first)}."
    else:
        detail = f"{missing:,} of {total:,} rows of {what} name a file that is not there: {shown}."
    return Refusal(
        what,
        detail,
        "Its paths start at the folder that it lies in; a unique ending of a path will do.",
        Strength.CLEAN,
        frozenset(t.file for t, *_ in read),
    )


def _nearest(index: PathIndex, cell: str) -> str:
    near = index.nearest(cell)
    return "" if near is None else f" (nearest: {near[:120]!r})"


def evidence(read: Sequence[tuple[Table, Columns, Rows]], matched: int, total: int, images: int) -> list[str]:
    told = [f"{matched:,} of {images:,} images are named in {named([t.file for t, *_ in read], 3)}."]
    how: Counter[str] = Counter()
    for *_, rows in read:
        how.update(rows.how)
    told += [f"Rows matched by {kind}: {count:,} of {total:,}." for kind, count in how.most_common() if kind != EXACT]
    table, columns, _ = read[0]
    if table.delimiter not in (",", ""):
        told.append(f"Cells are separated by {'a tab' if table.delimiter == chr(9) else repr(table.delimiter)}.")
    if columns.heading is None:
        told.append("The first line names an image too, so it was read as a row.")
    if columns.ignored:
        told.append(f"Columns that were not used: {named(columns.ignored, 10)}.")
    return told


def warnings(
    context: Context,
    read: Sequence[tuple[Table, Columns, Rows]],
    columns: Columns,
    label: int,
    missing: int,
    total: int,
    conflicts: dict[str, tuple[str, tuple[int, str, str]]],
) -> Iterator[str]:
    if missing:
        some = [(t.file, line, cell) for t, _, rows in read for line, cell in rows.missing][:LISTED_ROWS]
        shown = "; ".join(f"line {line} {cell[:120]!r}{_nearest(context.index, cell)}" for _, line, cell in some)
        files = named([t.file for t, *_ in read], 3)
        yield f"Rows of {files} that name no file that is there, left out: {missing:,} of {total:,}: {shown}."
    if conflicts:
        shown = "; ".join(f"{path!r}: {one!r}, {other!r}" for path, (_, (_, one, other)) in [*conflicts.items()][:5])
        yield f"Images with two labels, left out: {len(conflicts)}: {shown}."
    blank = sum(rows.unlabelled for *_, rows in read)
    if blank:
        yield f"Rows without a label: {blank:,}. Their images are used without one; fill it in if it is missing."
    if not columns.known and not columns.one_hot and columns.heading is not None:
        yield (
            f"No heading says that it is the class; the column {quoted(columns.name(label))} was taken. If that is "
            "wrong, name another as `labels_column`."
        )
    if not columns.anchored:
        yield "The folders in the table are not those of the archive: images were found by their names alone."
