"""Which column of a table names the file, which the class, which the split: by what stands in them, and by their
headings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.dataset import Split
from app.domain.errors import DatasetRejected
from app.reading.listing import name_of
from app.reading.paths import matching
from app.reading.paths.matching import PathIndex
from app.reading.reading import named
from app.reading.tables.class_columns import ClassColumns, find_class_columns, line_of_several, may_be_class
from app.reading.tables.headings import LABEL_NAMES, PATH_NAMES, SPLIT_NAMES, bare
from app.reading.tables.one_hot import find_one_hot, is_one
from app.reading.tables.split_columns import YES, find_split_column
from app.reading.tables.table import Row, Table
from app.reading.words import folded, is_number

__all__ = ["LABEL_NAMES", "PATH_NAMES", "Columns", "bare", "find_columns", "is_flagged", "is_one"]

_SAMPLE_ROWS = 300
_WEIGHTS = {matching.EXACT: 1.0, matching.ENDING: 0.98, matching.CASE: 0.97, matching.STEM: 0.95, matching.PREFIX: 0.95}
_NUMBER_WEIGHT = 0.7


@dataclass(frozen=True)
class Columns:
    """What the columns of a table mean, by number."""

    path: int
    width: int
    heading: Sequence[str] | None
    """None where the first line is a row."""
    matched: float
    """Share of the sampled rows whose file is there."""
    labels: Sequence[int] = ()
    """Columns that may be the class, the likeliest first."""
    known: bool = False
    """Whether the first of them is called like one, or its caller named it."""
    beside: Sequence[int] = ()
    """Further columns that divide the images otherwise and could be the class, less likely."""
    one_hot: Sequence[int] = ()
    """Columns with a 1 for the class of a row; beside `labels`, where that is only one way to see it."""
    several: int | None = None
    """The first line that has more labels than others, where rows are as long as they have labels."""
    split: int | None = None
    flag: Split | None = None
    """What a 1 in the column of splits says."""
    spelled: Mapping[str, str] = field(default_factory=dict)
    """What cells of the column of splits stand for, where they are no words: by folded cell."""
    understood: Sequence[tuple[str, str]] = ()
    """Such cells, each with its word."""
    unread_split: tuple[int, Sequence[str]] | None = None
    """A column that is called like a split, and values of it, which say nothing."""
    anchored: bool = True
    """Whether folders in the cells agree with those of the files."""
    ignored: Sequence[str] = field(default=())

    def name(self, column: int) -> str:
        """A class of one-hot columns without a heading is called by its place, as a list of names counts it."""
        if self.heading is not None and column < len(self.heading) and self.heading[column]:
            return self.heading[column]
        return str(self.one_hot.index(column)) if column in self.one_hot else f"column {column + 1}"


def find_columns(
    table: Table, folder: str, index: PathIndex, labels_column: str | None, *, trusted: bool
) -> Columns | None:
    """None where no column names files that are there.

    Args:
        table: the table.
        folder: where it lies.
        index: of the images.
        labels_column: the heading that the caller has named.
        trusted: whether the file is called like a file of labels, so that it means images even where none is there.

    Raises:
        DatasetRejected: it has no column of that heading, or one heading twice.
    """
    sample = table.sample(_SAMPLE_ROWS)
    if table.is_json:
        sample = [(0, list(table.keys)), *sample]
    if not sample:
        return None
    width = max(len(cells) for _, cells in sample)
    if width > 5_000:
        return None
    heading = _heading(table, sample[0][1], sample[1:], index, folder)
    body = sample[1:] if heading is not None else sample
    path = _path_column(heading, body, width, index, folder)
    if path is None:
        if not trusted or heading is None:
            return None
        path = next((i for name in PATH_NAMES for i, head in enumerate(heading) if bare(head) == bare(name)), None)
        if path is None:
            return None
    found = [index.find(cells[path], folder) for _, cells in body if path < len(cells) and cells[path]]
    matched = sum(one.path is not None for one in found) / max(1, len(found))
    several = heading is None and table.delimiter != " "
    first = body
    if len(sample) >= _SAMPLE_ROWS:
        body = [*body, *(row for row in table.spread(_SAMPLE_ROWS) if len(row[1]) == width)]
    split = find_split_column(heading, body, width, path)
    others = [i for i in range(width) if i not in (path, split.column)]
    classes, one_hot = _classes(table, heading, body, others, split.unread, labels_column)
    unread = None if split.unread in classes.labels else split.unread
    used = {path, split.column, *classes.labels[:1], *one_hot}
    return Columns(
        path=path,
        width=width,
        heading=heading,
        matched=matched,
        labels=classes.labels,
        known=classes.known,
        beside=classes.beside,
        one_hot=one_hot,
        several=line_of_several(first, path, classes.labels) if several else None,
        split=split.column,
        flag=split.flag,
        spelled=split.spelled,
        understood=split.understood,
        unread_split=_unread(unread, body),
        anchored=any(one.anchored and one.path is not None for one in found),
        ignored=_ignored(heading, body, used, width),
    )


def _classes(
    table: Table,
    heading: Sequence[str] | None,
    body: Sequence[Row],
    others: Sequence[int],
    unread: int | None,
    labels_column: str | None,
) -> tuple[ClassColumns, Sequence[int]]:
    """Columns that may be the class, and those that are one-hot; both where either may be meant."""
    if labels_column is not None:
        return ClassColumns((_asked(table, heading, labels_column),), known=True), ()
    likely = [i for i in others if i != unread]
    classes = find_class_columns(table, heading, body, likely)
    words = unread is not None and any(not is_number(cells[unread]) for _, cells in body if cells[unread:])
    if words and not classes.labels:  # a `phase` may be one of animals
        likely = [*others]
        classes = find_class_columns(table, heading, body, likely)
    if classes.known:
        return classes, ()
    one_hot = find_one_hot(heading, body, likely, says_so=name_of(table.file).lower() == "_classes.csv")
    more = [i for i in classes.labels if i not in one_hot.columns]
    if one_hot.sure and (len(one_hot.columns) > 2 or not any(may_be_class(body, i) for i in more)):
        return ClassColumns(beside=one_hot.left_out), one_hot.columns
    return classes, one_hot.columns


def _unread(column: int | None, body: Sequence[Row]) -> tuple[int, Sequence[str]] | None:
    """With its values."""
    if column is None:
        return None
    return column, sorted({cells[column] for _, cells in body if column < len(cells) and cells[column]})


def _ignored(heading: Sequence[str] | None, body: Sequence[Row], used: set[int | None], width: int) -> list[str]:
    """What further columns are called, by number where they have no heading."""
    if heading is not None:
        return [head for i, head in enumerate(heading) if head and i not in used]
    filled = [i for i in range(width) if any(cells[i : i + 1] not in ([], [""]) for _, cells in body)]
    return [f"column {i + 1}" for i in filled if i not in used]


def _heading(table: Table, first: list[str], rest: Sequence[Row], index: PathIndex, folder: str) -> list[str] | None:
    """The first line, unless it names a file as the others do."""
    if table.is_json:
        return list(first)
    if table.delimiter == " ":
        return None
    known = {bare(name) for name in (*PATH_NAMES, *LABEL_NAMES, *SPLIT_NAMES)}
    if any(bare(cell) in known for cell in first):
        return first
    if any(index.find(cell, folder).path is not None for cell in first if cell):
        return None
    there = any(index.find(cell, folder).path is not None for _, cells in rest[:50] for cell in cells if cell)
    return first if there or not rest else None


def _path_column(
    heading: Sequence[str] | None, body: Sequence[Row], width: int, index: PathIndex, folder: str
) -> int | None:
    best: tuple[float, int] | None = None
    for column in range(min(width, 200)):
        cells = [cells[column] for _, cells in body if column < len(cells) and cells[column]]
        if not cells or len(set(cells)) < 0.5 * len(cells):
            continue
        found = [index.find(cell, folder) for cell in cells]
        score = sum(
            _WEIGHTS.get(one.how, _NUMBER_WEIGHT if one.anchored else 0.0) for one in found if one.path is not None
        ) / len(cells)
        if heading is not None and bare(heading[column] if column < len(heading) else "") in map(bare, PATH_NAMES):
            score *= 1.2
        elif all(cell.isdigit() for cell in cells) and cells == [str(i + int(cells[0])) for i in range(len(cells))]:
            score *= 0.3  # a count of the rows
        if score > 0.05 and (best is None or score > best[0]):
            best = score, column
    return None if best is None else best[1]


def is_flagged(cell: str) -> bool:
    return cell.lower() in YES


def _asked(table: Table, heading: Sequence[str] | None, labels_column: str) -> int:
    if heading is not None:
        for column, head in enumerate(heading):
            if head.strip() == labels_column.strip() or folded(head) == folded(labels_column):
                return column
    there = f"it has {named([head for head in heading if head], 20)}" if heading else "it has no headings"
    raise DatasetRejected(
        f"{table.file} has no column {labels_column!r}; {there}.", hint="Name one of its columns as `labels_column`."
    )
