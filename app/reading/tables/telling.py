"""What people are told about tables: what a reading rests on, what is odd about it, and which rows name nothing."""

from collections import Counter
from collections.abc import Iterator, Sequence

from app.reading.context import Context
from app.reading.paths.matching import ELSEWHERE, EXACT, SEVERAL, PathIndex
from app.reading.reading import Refusal, Strength, named, quoted
from app.reading.tables.columns import Columns
from app.reading.tables.rows import LISTED_ROWS, Missing, Rows
from app.reading.tables.table import Table

_FACTS = {
    "": (
        "name a file that is not there",
        "Its paths start at the folder that it lies in; a unique ending of a path will do.",
    ),
    SEVERAL: ("name a file that is there more than once", "Give each path with its folder, so that it means one file."),
    ELSEWHERE: (
        "name a file that is only in the folder of another split",
        "Pack the files of this split too, or give each path with its folder.",
    ),
}
_MIXED = "could not be matched to one file", "Give each path with its folder, and pack the files that are not there."


def not_there(
    read: Sequence[tuple[Table, Columns, Rows]], index: PathIndex, what: str, missing: int, total: int
) -> Refusal:
    table, _, rows = next(one for one in read if one[2].missing)
    first = rows.missing[0]
    fact, hint = _fact(read)
    if total == 1 or missing == 1:
        which = ", which" if first.match.there else ", which is not there"
        detail = (
            f"{table.file}, line {first.line} names {first.cell[:200]!r}{which}{index.told(first.cell, first.match)}."
        )
    else:
        detail = f"{missing:,} of {total:,} rows of {what} {fact}: {_listed(index, rows.missing[:10])}."
    return Refusal(what, detail, hint, Strength.CLEAN, frozenset(t.file for t, *_ in read))


def _fact(read: Sequence[tuple[Table, Columns, Rows]]) -> tuple[str, str]:
    """Why rows were not matched, and what to do about it."""
    why = {reason for *_, rows in read for reason in rows.missing_why}
    return _FACTS[why.pop()] if len(why) == 1 else _MIXED


def _listed(index: PathIndex, missing: Sequence[Missing]) -> str:
    return "; ".join(f"line {line} {cell[:120]!r}{index.told(cell, match)}" for line, cell, match in missing)


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
    files = named([t.file for t, *_ in read], 3)
    if missing:
        some = [one for *_, rows in read for one in rows.missing][:LISTED_ROWS]
        fact = _fact(read)[0].replace("a file that is not there", "no file that is there")
        yield f"Rows of {files} that {fact}, left out: {missing:,} of {total:,}: {_listed(context.index, some)}."
    pathless = [(t.file, *r.first_without_path) for t, _, r in read if r.first_without_path is not None]
    if pathless:
        count, (file, line, cells) = sum(rows.without_path for *_, rows in read), pathless[0]
        yield f"Rows without a path, left out: {count:,}, the first in {file}, line {line}: {cells[:120]!r}."
    if assumed := sum(rows.assumed for *_, rows in read):
        yield (
            f"{files} does not say of which split its images are: {assumed:,} of its names are in several folders. It "
            "names each image of the train folder once, so those were taken. If that is wrong, give each path with its "
            "folder."
        )
    if conflicts:
        shown = "; ".join(f"{path!r}: {one!r}, {other!r}" for path, (_, (_, one, other)) in [*conflicts.items()][:5])
        yield f"Images with two labels, left out: {len(conflicts)}: {shown}."
    several = [(path, told) for *_, rows in read for path, (_, told) in rows.several.items()]
    if several:
        shown = "; ".join(f"{path!r}: {told[:120]}" for path, told in several[:5])
        yield f"Images with several labels, left out: {len(several):,}: {shown}."
    if any(rows.boxed for *_, rows in read):
        yield f"{files} labels boxes or shapes; each image has one kind of them, which was taken for its class."
    blank = sum(rows.unlabelled for *_, rows in read)
    if blank:
        yield f"Rows without a label: {blank:,}. Their images are used without one; fill it in if it is missing."
    if not columns.known and not columns.one_hot and columns.heading is not None:
        yield (
            f"No heading says that it is the class; the column {quoted(columns.name(label))} was taken. If that is "
            "wrong, name another as `labels_column`."
        )
    if any(rows.by_name_alone for *_, rows in read):
        yield "The folders in the table are not those of the archive: images were found by their names alone."
