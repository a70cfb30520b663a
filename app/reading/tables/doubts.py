"""What may be wrong with the meaning of a table's columns, and how its cells were understood."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from app.reading.reading import Refusal, Strength, named, quoted
from app.reading.tables.columns import Columns
from app.reading.tables.joined_labels import joined_label, perhaps_joined
from app.reading.tables.rows import Rows
from app.reading.tables.table import Table

Read = Sequence[tuple[Table, Columns, Rows]]


def spelled(table: Table, columns: Columns) -> Table:
    """With words for splits instead of what stands for them."""
    return table if columns.split is None else replace(table, spelled={columns.split: columns.spelled})


def _labels(read: Read) -> Counter[str]:
    return Counter(label for *_, rows in read for label in rows.labels.values() if label is not None)


def several_in_a_row(tables: Sequence[tuple[Table, Columns]]) -> Refusal | None:
    """Where rows without a heading have as many cells as they have labels."""
    found = next(((t.file, c.several) for t, c in tables if c.several is not None), None)
    if found is None:
        return None
    files = [table.file for table, _ in tables]
    return Refusal(
        named(files, 3),
        f"{found[0]} gives several labels to one image (line {found[1]} has more of them than others); a classifier "
        "knows one class per image.",
        "Keep one label per image, or make one data set for each question. Quote names that contain a comma.",
        files=frozenset(files),
    )


def joined(read: Read, column: int, *, asked: bool) -> Refusal | None:
    """Where cells hold several labels; weak where another column may be meant."""
    _, columns, _ = read[0]
    label = None if columns.one_hot else joined_label(_labels(read), columns.name(column))
    if label is None:
        return None
    files = [table.file for table, *_ in read]
    return Refusal(
        named(files, 3),
        f"{files[0]} gives several labels to one image, such as {label[:120]!r}; a classifier knows one class per "
        "image.",
        "Keep one label per image, or make one data set for each question. Where such a combination is a class of its "
        "own, write it as one word.",
        Strength.WEAK if asked and not columns.known else Strength.EXPLICIT,
        frozenset(files),
    )


def doubts(read: Read, label: int, *, asked: bool) -> Iterator[str]:
    """Sentences, loud.

    Args:
        read: the tables of a reading.
        label: the column of its class.
        asked: whether a person chooses among the columns anyhow.
    """
    table, columns, _ = read[0]
    if columns.beside and not asked:
        others = named([columns.name(i) for i in columns.beside])
        taken = f"The column {quoted(columns.name(label))} was taken for the class; {others} would give other classes."
        if columns.one_hot:
            taken = (
                f"{named([columns.name(i) for i in columns.one_hot])}, of which each row has a 1 in one, were taken "
                f"for the classes; {others} is none."
            )
        yield f"{taken} If another column is meant, name it as `labels_column`."
    for t, c, _ in read:
        if c.unread_split is not None:
            column, values = c.unread_split
            yield (
                f"The column {quoted(c.name(column))} of {t.file} is called like a split, but {named(values, 4)} are "
                "no words for one, so it was not used. If it tells the splits, write train, val and test there."
            )
    if not columns.one_hot:
        joined = perhaps_joined(_labels(read), columns.name(label))
        if joined is not None:
            yield joined
    if not table.words:
        yield (
            f"In {table.file} the rest of a line after its path was taken as one label. If there are several columns, "
            "put a comma or a tab between them."
        )


def understood(read: Read) -> Iterator[str]:
    """How splits are called, where that is no word for one."""
    for table, columns, _ in read:
        if columns.split is not None and columns.understood:
            words = ", ".join(f"{quoted(short)} as {word}" for short, word in columns.understood)
            yield f"In the column {quoted(columns.name(columns.split))} of {table.file} these were understood: {words}."
